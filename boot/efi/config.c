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

bool words_append(char *text, size_t room, const char *words)
{
    size_t have = strlen(text), more = strlen(words), gap = have && more ? 1 : 0;

    if (have + gap + more >= room)
        return false;
    if (gap)
        text[have] = ' ';
    memcpy(text + have + gap, words, more + 1);
    return true;
}

/* A piece of the text; never empty where next_word() says true. */
struct span {
    const char *at;
    size_t len;
};

static bool next_word(struct span *rest, struct span *word)
{
    while (rest->len && is_blank(*rest->at)) {
        rest->at++;
        rest->len--;
    }
    word->at = rest->at;
    word->len = 0;
    while (word->len < rest->len && !is_blank(rest->at[word->len]))
        word->len++;
    rest->at += word->len;
    rest->len -= word->len;
    return word->len != 0;
}

static void trim(struct span *s)
{
    while (s->len && is_blank(*s->at)) {
        s->at++;
        s->len--;
    }
    while (s->len && is_blank(s->at[s->len - 1]))
        s->len--;
}

static bool span_is(const struct span *s, const char *text)
{
    return s->len == strlen(text) && !memcmp(s->at, text, s->len);
}

static bool span_copy(char *out, size_t room, const struct span *s)
{
    if (s->len >= room)
        return false;
    memcpy(out, s->at, s->len);
    out[s->len] = 0;
    return true;
}

static const char *add_file(struct config *out, struct span *rest)
{
    struct span path;

    if (!next_word(rest, &path))
        return "the file's name is missing";
    if (out->nr_files == BOOT_MAX_MODULES)
        return "too many files";
    struct config_file *file = &out->files[out->nr_files];
    if (!span_copy(file->path, sizeof(file->path), &path))
        return "the file's name is too long";
    trim(rest);
    if (!span_copy(file->cmdline, sizeof(file->cmdline), rest))
        return "the command line is too long";
    out->nr_files++;
    return NULL;
}

static const char *add_line(struct config *out, struct span rest)
{
    char options[BOOT_CMDLINE_MAX];
    struct span key;

    if (!next_word(&rest, &key) || *key.at == '#')
        return NULL;
    if (span_is(&key, "options")) {
        trim(&rest);
        if (!span_copy(options, sizeof(options), &rest) ||
            !words_append(out->options, sizeof(out->options), options))
            return "the options are too long";
        return NULL;
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
    char copy[BOOT_CMDLINE_MAX];

    memset(out, 0, sizeof(*out));
    for (bool first = true; next_word(&rest, &word); first = false) {
        if (first && names_this_file(&word))
            continue;
        if (span_is(&word, "--")) {
            trim(&rest);
            return span_copy(out->guest_words, sizeof(out->guest_words), &rest) ? NULL : "they are too long";
        }
        if (word.len >= sizeof(config) - 1 && !memcmp(word.at, config, sizeof(config) - 1)) {
            struct span path = { word.at + sizeof(config) - 1, word.len - (sizeof(config) - 1) };
            if (!path.len || !span_copy(out->config, sizeof(out->config), &path))
                return "config= takes a file's name";
            continue;
        }
        if (!span_copy(copy, sizeof(copy), &word) || !words_append(out->options, sizeof(out->options), copy))
            return "they are too long";
    }
    return NULL;
}
