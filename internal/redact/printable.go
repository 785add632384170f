package redact

import (
	"strconv"
	"strings"
	"unicode"
)

// Printable makes text from outside safe for a terminal and a CI log: nonprintable characters, except line ends and
// tabs, are replaced by Go escape sequences.
func Printable(text string) string {
	var b strings.Builder
	for _, r := range strings.ReplaceAll(text, "\r\n", "\n") {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}
