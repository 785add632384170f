package usage

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Pasted describes what was copied along with a value: white space or quotes around it. It returns "" if the value is
// clean, and never shows the value.
func Pasted(value string) string {
	if value == "" {
		return ""
	}
	first, _ := utf8.DecodeRuneInString(value)
	last, _ := utf8.DecodeLastRuneInString(value)
	switch {
	case blank(last):
		return fmt.Sprintf("must not begin or end with white space (it ends with %s)", blankName(last))
	case blank(first):
		return fmt.Sprintf("must not begin or end with white space (it begins with %s)", blankName(first))
	case strings.ContainsAny(value, "\r\n"):
		return "must not contain line breaks"
	case len(value) > 1 && slices.Contains(quotes, string([]rune{first, last})):
		return "must not be in quotes"
	}
	return ""
}

// quotes are the pairs that shells, configuration files and word processors put around a value.
var quotes = []string{`""`, "''", "``", "“”", "‘’", "„“", "«»"}

// blank reports whether a character is white space or just as invisible: a byte order mark or a zero-width space.
func blank(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b' }

func blankName(r rune) string {
	switch r {
	case '\n':
		return "a line break"
	case '\r':
		return "a carriage return"
	case ' ':
		return "a space"
	case '\t':
		return "a tab"
	}
	return fmt.Sprintf("%U", r)
}
