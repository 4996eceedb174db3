# SPDX-License-Identifier: Apache-2.0
"""Where to break the code: finds the places in a source, and writes the source in which all are broken at will."""

import difflib
import re

# Functions that change nothing: an operand that calls only such can be evaluated whether or not it counts.
PURE = re.compile(r"\b(?:field_get|is_aligned|range_is_all|range_covers|BIT|MASK|MIN|MAX|ARRAY_SIZE|vreg32|vreg64|"
                  r"sizeof|is_table|gate_open|plan_only_waits|plan_empty|plan_more|loader_has)\(")
# Who drops one of these, or goes beyond a limit, lets a device or the guest see what it must not: all of them must be
# caught. The others are told of.
STRICT = ("emit", "barrier", "P-clear", "entry write", "register write", "check", "bound", "one off")


def squeeze(text):
    return " ".join(text.split())


def blank(text):
    """The text with comments, strings and preprocessor lines replaced by blanks of the same length."""

    def spaces(match):
        return re.sub(r"[^\n]", " ", match[0])

    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|' + r"'(?:\\.|[^'\\\n])*'|^#(?:[^\n]*\\\n)*[^\n]*"
    return re.sub(pattern, spaces, text, flags=re.S | re.M)


def closing(text, at):
    """The index of the parenthesis that closes the one at `at`."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0:
            return i
    return -1


def parts(text, start, end):
    """The spans of what commas part."""
    out, at, depth = [], start, 0
    for i in range(start, end):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0 and text[i] == ",":
            out.append(trim(text, at, i))
            at = i + 1
    return [*out, trim(text, at, end)]


def trim(text, start, end):
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def operands(text, start, end):
    """Yields (start, end, operator around it) of the operands of && and ||, through parentheses."""
    start, end = trim(text, start, end)
    if start < end and text[start] == "(" and closing(text, start) == end - 1:
        yield from operands(text, start + 1, end - 1)
        return
    depth, parts, at = 0, [], start
    for i in range(start, end):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0 and text[i] == "?":
            yield start, end, ""
            return
        if depth == 0 and text[i : i + 2] in ("&&", "||"):
            parts.append((at, i, text[i : i + 2]))
            at = i + 2
    if not parts:
        yield start, end, ""
        return
    parts.append((at, end, parts[-1][2]))
    for a, b, op in parts:
        for x, y, inner in operands(text, a, b):
            yield x, y, inner or op


# What binds less than a comparison, as clang-format spaces it.
LOOSEST = re.compile(r"[,;:?{}]|\breturn\b|\belse\b|(?<=\s)(?:[|^&+*/%-]|<<|>>)?=(?=\s)")
LOOSER = re.compile(LOOSEST.pattern + r"|&&|\|\||(?<=\s)(?:==|!=|[&^|])(?=\s)")


def sides(code, start, end, choice=False):
    """The spans of what stands left and right of the comparison at [start, end); or of the ? of a choice."""
    looser = LOOSEST if choice else LOOSER
    depth, a, b = 0, start, end
    while a > 0:
        depth += (code[a - 1] in ")]}") - (code[a - 1] in "([{")
        if depth < 0:
            break
        if depth == 0 and any(m and m.end() == a for m in (looser.match(code, max(a - n, 0)) for n in (1, 2, 3, 4, 6))):
            break
        a -= 1
    depth = 0
    while b < len(code):
        depth += (code[b] in "([{") - (code[b] in ")]}")
        if depth < 0 or (depth == 0 and looser.match(code, b)):
            break
        b += 1
    return trim(code, a, start), trim(code, end, b)


def statement_begins(text, at):
    before = text[:at].rstrip()
    return before[-1:] in ";{})" or before.endswith((":", "else", "do"))


def blocks(code):
    """The spans of what is done or given: bodies of functions, and initialisers; not types and declarations."""
    at = 0
    while (start := code.find("{", at)) >= 0:
        at = closing(code, start)
        if code[:start].rstrip()[-1:] in ")=":
            yield start, at


def call_kind(name, arguments):
    if re.match(r"hostq_push|hostq_submit|plan_|emit_|flush_|domain_|context_|replay_|shadow_", name):
        return "emit"
    if re.search(r"writeback|fence|publish|buffer_flush", name):
        return "barrier"
    if name in ("env_store64", "replace", "set_entry", "hw_write_entry"):
        return "P-clear" if re.search(r", 0\b", arguments) else "entry write"
    if re.match(r"env_write(32|64)$", name):
        return "register write"
    return "call"


# What is compared for being equal is a limit if it is as many as there may be; what is compared for its order always.
LIMIT = re.compile(r"\bnr_\w+|\b\w*count\b|\bnext_did\b|\bARRAY_SIZE\b|_MAX\b|\bMAX_")
# A limit that is one less or one more: the operator that says so, and what is added to the left side.
MOVED = {
    "<": [("<=", ""), ("<", " + 1")],
    "<=": [("<", ""), ("<=", " - 1")],
    ">": [(">=", ""), (">", " - 1")],
    ">=": [(">", ""), (">=", " + 1")],
    "==": [("==", " + 1"), ("==", " - 1")],
    "!=": [("!=", " + 1"), ("!=", " - 1")],
}
# The same in C for any x and y, also where what is added would not fit.
MOVED_TO = {
    "< + 1": "x{n} < y{n} && x{n} + 1 != y{n}",
    "<= - 1": "x{n} <= y{n} || x{n} - 1 == y{n}",
    "> - 1": "x{n} > y{n} && x{n} - 1 != y{n}",
    ">= + 1": "x{n} >= y{n} || x{n} + 1 == y{n}",
}


def limits(code, start, end):
    """Yields the two sides, and the operator between them, of the comparisons with a limit."""
    for m in re.compile(r" (<=|>=|<|>|==|!=) ").finditer(code, start, end):
        left, right = sides(code, *m.span())
        if m[1] not in ("==", "!=") or LIMIT.search(code, *left) or LIMIT.search(code, *right):
            yield left, right, m[1]


def decisions(code, a, b, op, lone):
    """An operand taken out, a lone one decided either way."""
    kind = "check" if re.search(r"env_|page|mem_|owner|allowed|region|overlap", code[a:b]) else "condition"
    what = ""
    if kind == "condition" and any(limits(code, a, b)):
        kind, what = "bound", ": " + squeeze(code[a:b])
    for value in {"&&": ["1"], "||": ["0"]}.get(op, lone):
        yield a, b, value, f"{kind} taken as {value}{what}"


def mutations(text):
    """Yields (start, end, replacement, what it is) for every place of a source."""
    code = blank(text)
    inside = list(blocks(code))
    seen = set()
    for place in everywhere(code):
        if place[:3] not in seen and any(a < place[0] < b for a, b in inside):
            seen.add(place[:3])
            yield place


def everywhere(code):
    # Calls whose result nobody takes: emits, barriers, stores, everything that is done.
    for m in re.finditer(r"^[ ]+([a-z_]\w*)\(", code, re.M):
        end = closing(code, m.end() - 1)
        name = m[1]
        if name in ("if", "for", "while", "switch", "return", "sizeof") or name.startswith("env_log"):
            continue
        if code[end + 1 : end + 2] != ";" or not statement_begins(code, m.start()):
            continue
        yield m.start(1), end + 1, "", call_kind(name, code[m.end() : end]) + " dropped"
    # Stores to anything but a local.
    for m in re.finditer(r"^[ ]+([^\s=;(][^\n=;]*?(?:->|\[|\.)[^\n=;]*?|\*[a-z]\w*) ([|&^+-]?=)\s", code, re.M):
        if statement_begins(code, m.start()) and not re.match(r"(?:const|struct|u\d+|bool|return|if|for|while|case)\b", m[1]):
            end = m.end()
            while code[end] != ";":
                end = closing(code, end) + 1 if code[end] in "([{" else end + 1
            yield m.start(1), end, "", "store dropped"
    for m in re.finditer(r"^[ ]+([^\s=;(][^\n=;]*?(?:->|\[|\.)[^\n=;]*?(?:\+\+|--)|--[^\n;]+);", code, re.M):
        if statement_begins(code, m.start()) and not re.match(r"(?:return|if|for|while)\b", m[1]):
            yield m.start(1), m.end() - 1, "", "count dropped"
    # Conditions: each operand taken out, a lone one decided either way.
    for m in re.finditer(r"\b(if|while) ?\(", code):
        for place in operands(code, m.end(), closing(code, m.end() - 1)):
            yield from decisions(code, *place, ["0", "1"] if m[1] == "if" else ["0"])
    for m in re.finditer(r"\breturn\b", code):
        for place in operands(code, m.end(), code.find(";", m.end())):
            yield from decisions(code, *place, [])
    for m in re.finditer(r"\s\?\s", code):
        for place in operands(code, *sides(code, m.start(), m.end(), True)[0]):
            yield from decisions(code, *place, ["0", "1"])
    for m in re.finditer(r"\bfor \(", code):
        a = code.find(";", m.end()) + 1
        for place in operands(code, a, code.find(";", a)):
            yield from decisions(code, *place, ["0"])
    # Limits: one less, one more.
    for (a, b), (c, d), op in limits(code, 0, len(code)):
        for other, added in MOVED[op]:
            left = f"({code[a:b]}){added}" if added else code[a:b]
            end = code.rindex(op, b, c) + len(op)
            yield a, end, f"{left} {other}", f"bound moved: {squeeze(code[a:b])}{added} {other} {squeeze(code[c:d])}"
    for m in re.finditer(r" [+-] 1(?![\w.])", code):
        yield m.start(), m.end(), "", "one off"
    for m in re.finditer(r"\b(MIN|MAX)\(", code):
        end = closing(code, m.end() - 1) + 1
        for a, b in parts(code, m.end(), end - 1):
            yield m.start(1), end, f"({code[a:b]})", f"bound left out: {squeeze(code[a:b])} for {m[1]}"
    for m in re.finditer(r"\breturn (true|false);", code):
        yield m.start(1), m.end(1), "false" if m[1] == "true" else "true", "result inverted"
    for m in re.finditer(r"\breturn (ERR_\w+);", code):
        yield m.start(1), m.end(1), "0", "error swallowed"
    # Flags: what is or-ed is left out.
    for m in re.finditer(r" \| ~?[A-Z][A-Z0-9_]{2,}\b(?!\()", code):
        yield m.start(), m.end(), "", "flag left out"


class Mutant:
    number = 0  # in the build that holds all of them; 0: it needs one of its own
    planted = False

    def __init__(self, path, text, start, end, new, kind):
        self.path, self.kind = path, kind
        self.span, self.new = (start, end), new
        self.text = text[:start] + new + text[end:]
        self.line = text.count("\n", 0, start) + 1
        self.last_line = text.count("\n", 0, end) + 1
        self.old = " ".join(text[text.rfind("\n", 0, start) + 1 : text.find("\n", max(start, end - 1))].split())
        diff = difflib.unified_diff(text.splitlines(), self.text.splitlines(), lineterm="", n=0)
        self.diff = [line for line in diff if not line.startswith(("---", "+++", "@@"))]
        self.name = f"{path}:{self.line}: {kind}"
        self.strict = kind.startswith(STRICT)


# ---- All at once ---------------------------------------------------------------------------------


def moved_to(new):
    """The comparison of x and y that stands for the left side and the operator given."""
    op, added = new.split()[-1], re.search(r"\)( [+-] 1) \S+$", new)
    if not added:
        return f"x{{n}} {op} y{{n}}"
    return MOVED_TO.get(op + added[1], f"x{{n}}{added[1]} {op} y{{n}}")


class Edit:
    """Mutants of one place as a change of the source that is in force only while one of them is alive."""

    def __init__(self, mutants, text, code):
        self.mutants = mutants
        mutant = mutants[0]
        a, b = mutant.span
        n, new, old = mutant.number, mutant.new, text[a:b]
        if mutant.kind.endswith("dropped"):
            b -= old.endswith(";")
            self.parts = [f"(MUT({n}) ? (void)0 : (void)(", (a, b), "))"]
        elif " taken as " in mutant.kind:
            changes = re.search(r"\w\(|[^=!<>]=[^=]|\+\+|--", PURE.sub("(", code[a:b]))
            if changes:
                self.parts = [f"(MUT({n}) ? {new} : !!(", (a, b), "))"]
            else:  # a test that never has it otherwise cannot notice
                self.parts = [f"({{ _Bool is{n} = !!(", (a, b), f"); is{n} != {new} && MUT({n}) ? {new} : is{n}; }})"]
        elif mutant.kind.startswith("bound moved"):
            op = old.split()[-1]
            x, y = sides(code, b - len(op), b)
            b = y[1]
            wrong = [f"is{n} != ({moved_to(m.new).format(n=n)}) && MUT({m.number})" for m in mutants]
            self.parts = [f"({{ __auto_type x{n} = (", x, f") + 0; __auto_type y{n} = (", y, ") + 0; "
                          f"_Bool is{n} = x{n} {op} y{n}; {' || '.join(wrong)} ? !is{n} : is{n}; }})"]
        elif mutant.kind.startswith("bound left out"):
            x, y = parts(code, code.index("(", a) + 1, b - 1)
            ones = [(m.number, "x" if m.new == f"({code[x[0]:x[1]]})" else "y") for m in mutants]
            wrong = "".join(f"z{n} != {v}{n} && MUT({k}) ? {v}{n} : " for k, v in ones)
            self.parts = [f"({{ __auto_type x{n} = (", x, f") + 0; __auto_type y{n} = (", y, ") + 0; "
                          f"__auto_type z{n} = {old[:3]}(x{n}, y{n}); {wrong}z{n}; }})"]
        elif mutant.kind == "one off":
            a = b - 1
            self.parts = [f"(MUT({n}) ? 0 : 1)"]
        elif mutant.kind == "flag left out":
            a += 3
            self.parts = [f"(MUT({n}) ? 0 : ", (a, b), ")"]
        else:
            self.parts = [f"(MUT({n}) ? {new} : ", (a, b), ")"]
        self.span = (a, b)


def render(text, start, end, edits, lost):
    """text[start:end] with the edits in it, those that overlap without one being inside another left out."""
    out, at, i = [], start, 0
    while i < len(edits):
        edit = edits[i]
        a, b = edit.span
        j = i + 1
        while j < len(edits) and edits[j].span[0] < b:
            j += 1
        inside, pieces = edits[i + 1 : j], []
        slots = [p for p in edit.parts if not isinstance(p, str)]
        for e in inside:
            if not any(s[0] <= e.span[0] and e.span[1] <= s[1] for s in slots):
                lost += e.mutants
        for part in edit.parts:
            if isinstance(part, str):
                pieces.append(part)
            else:
                within = [e for e in inside if part[0] <= e.span[0] and e.span[1] <= part[1]]
                pieces.append(render(text, *part, within, lost))
        out += [text[at:a], "".join(pieces)]
        at, i = b, j
    return "".join([*out, text[at:end]])


def all_at_once(text, mutants):
    """The source with every mutant in it behind MUT(number), and those that need a build of their own."""
    code = blank(text)
    places, lost = {}, []
    for m in mutants:
        places.setdefault((m.span, m.kind.startswith(("bound moved", "bound left out")) or m.number), []).append(m)
    edits = [Edit(ms, text, code) for ms in places.values()]
    edits.sort(key=lambda e: (e.span[0], -e.span[1]))
    return render(text, 0, len(text), edits, lost), lost


# ---- What the files beside the tests say ---------------------------------------------------------


def planted(root, listed):
    """The blocks of planted.txt: a title, a file, what is there, what shall be there instead."""
    out, bad = [], []
    for block in re.split(r"^== ", listed.read_text(), flags=re.M)[1:]:
        title, path, rest = block.split("\n", 2)
        text = (root / path).read_text()
        new = text
        for old, replacement in re.findall(r"^<<<\n(.*?)\n===\n(.*?)\n?>>>$", rest, re.S | re.M):
            # Layout does not matter, so that a reformatted line still is the same line.
            pattern = r"\s+".join(re.escape(word) for word in old.split())
            found = re.findall(pattern, new)
            if len(found) != 1:
                bad.append(f"planted defect '{title}': its place in {path} is there {len(found)} times")
                break
            new = new.replace(found[0], replacement)
        else:
            m = Mutant(path, text, 0, 0, "", "planted: " + title)
            diff = list(difflib.unified_diff(text.splitlines(), new.splitlines(), lineterm="", n=0))
            place = re.search(r"@@ -(\d+)", "\n".join(diff))
            m.text, m.line = new, int(place[1]) if place else 0
            m.diff = [line for line in diff if not line.startswith(("---", "+++", "@@"))]
            m.name = f"{path}:{m.line}: {m.kind}"
            m.strict = m.planted = True
            out.append(m)
    return out, bad


def equivalents(listed):
    """Lines "file | kind | line as it stands | why no test can see it"."""
    out = set()
    for line in listed.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            path, kind, rest = line.split(" | ", 2)
            old, why = rest.rsplit(" | ", 1)
            if why.strip():
                out.add((path.strip(), kind.strip(), squeeze(old)))
    return out


def survivors(log):
    """What an earlier run wrote about those that survived, without line numbers: they move."""
    found = re.findall(r"^(?:SURVIVED|survived) ([^:]+):.*\n((?:    .*\n)+)", log, re.M)
    return {"\n".join([path, *(line[4:] for line in diff.splitlines())]) for path, diff in found}
