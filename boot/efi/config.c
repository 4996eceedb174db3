/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading sluice.cfg and load options. Both come from outside: bounds are checked at every copy, and a line
 * that is not understood is refused, because booting with half a configuration is worse than not booting.
 */
#include "boot/efi/config.h"
#include "arch/string.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* A piece of the text; never empty where next_word() says true. */
struct span {
    const char *at;
    size_t len;
};

static void skip_blanks(struct span *s)
{
    for (; s->len && is_blank(*s->at); s->len--)
        s->at++;
}

static bool next_word(struct span *rest, struct span *word)
{
    skip_blanks(rest);
    *word = (struct span){ rest->at, 0 };
    for (; rest->len && !is_blank(*rest->at); rest->len--, word->len++)
        rest->at++;
    return word->len != 0;
}

static void trim(struct span *s)
{
    skip_blanks(s);
    while (s->len && is_blank(s->at[s->len - 1]))
        s->len--;
}

static bool span_is(const struct span *s, const char *text)
{
    return s->len == strlen(text) && !memcmp(s->at, text, s->len);
}

/* Behind what is there, with a space between. False: does not fit; then nothing has changed. */
static bool append(char *text, size_t room, const struct span *s)
{
    size_t have = strlen(text), gap = have && s->len ? 1 : 0;

    if (have + gap + s->len >= room)
        return false;
    if (gap)
        text[have] = ' ';
    memcpy(text + have + gap, s->at, s->len);
    text[have + gap + s->len] = 0;
    return true;
}

bool words_append(char *text, size_t room, const char *words)
{
    return append(text, room, &(struct span){ words, strlen(words) });
}

static const char *add_file(struct config *out, struct span *rest)
{
    struct span path;

    if (!next_word(rest, &path))
        return "the file's name is missing";
    if (out->nr_files == BOOT_MAX_MODULES)
        return "too many files";
    struct config_file *file = &out->files[out->nr_files];
    if (!append(file->path, sizeof(file->path), &path))
        return "the file's name is too long";
    trim(rest);
    if (!append(file->cmdline, sizeof(file->cmdline), rest))
        return "the command line is too long";
    out->nr_files++;
    return NULL;
}

static const char *add_line(struct config *out, struct span rest)
{
    struct span key;

    if (!next_word(&rest, &key) || *key.at == '#')
        return NULL;
    if (span_is(&key, "options")) {
        trim(&rest);
        return append(out->options, sizeof(out->options), &rest) ? NULL : "the options are too long";
    }
    if (span_is(&key, "kernel"))
        return out->nr_files ? "the kernel's line must be the first, and the only one" : add_file(out, &rest);
    if (span_is(&key, "initrd"))
        return out->nr_files == 1 ? add_file(out, &rest) : "the initrd's line must follow the kernel's";
    if (span_is(&key, "module"))
        return out->nr_files ? add_file(out, &rest) : "a kernel's line must come before modules";
    return "it begins with none of: options, kernel, initrd, module, #";
}

const char *config_parse(const char *text, size_t size, struct config *out, unsigned *line)
{
    size_t at = 0;

    memset(out, 0, sizeof(*out));
    for (*line = 1; at < size; (*line)++) {
        struct span rest = { text + at, 0 };

        for (; at < size && text[at] != '\n'; at++, rest.len++)
            if (!text[at])
                return "it is not text";
        at++;
        const char *wrong = add_line(out, rest);
        if (wrong)
            return wrong;
    }
    return NULL;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool names_this_file(const struct span *word)
{
    static const char suffix[] = ".efi";

    if (word->len < sizeof(suffix) - 1)
        return false;
    for (size_t i = 0; i < sizeof(suffix) - 1; i++)
        if (lower(word->at[word->len - (sizeof(suffix) - 1) + i]) != suffix[i])
            return false;
    return true;
}

const char *load_options_parse(const char *text, struct load_options *out)
{
    static const char config[] = "config=";
    struct span rest = { text, strlen(text) }, word;

    memset(out, 0, sizeof(*out));
    for (bool first = true; next_word(&rest, &word); first = false) {
        if (first && names_this_file(&word))
            continue;
        if (span_is(&word, "--")) {
            trim(&rest);
            return append(out->guest_words, sizeof(out->guest_words), &rest) ? NULL : "they are too long";
        }
        if (word.len >= sizeof(config) - 1 && !memcmp(word.at, config, sizeof(config) - 1)) {
            struct span path = { word.at + sizeof(config) - 1, word.len - (sizeof(config) - 1) };
            out->config[0] = 0;
            if (!path.len || !append(out->config, sizeof(out->config), &path))
                return "config= takes a file's name";
            continue;
        }
        if (!append(out->options, sizeof(out->options), &word))
            return "they are too long";
    }
    return NULL;
}
