package redact_test

import (
	"testing"
	"unicode"
	"unicode/utf8"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

func TestPrintable(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"plain", "team/app:1.2", "team/app:1.2"},
		{"nothing", "", ""},
		{"lines and tabs", "a\n\tb", "a\n\tb"},
		{"lines of Windows", "a\r\nb", "a\nb"},
		{"overwritten line", "failed\rexact ", `failed\rexact `},
		{"colour", "\x1b[32mexact\x1b[0m", `\x1b[32mexact\x1b[0m`},
		{"title of the terminal", "\x1b]0;x\x07", `\x1b]0;x\a`},
		{"section of a CI log", "\x1b[0Ksection_start:1:x[collapsed=true]\r\x1b[0Ky", `\x1b[0Ksection_start:1:x[collapsed=true]\r\x1b[0Ky`},
		{"eight-bit escape", "\u009b2J", `\u009b2J`},
		{"other scripts", "köln/приложение/应用", "köln/приложение/应用"},
		{"a quote", "it's", "it's"},
		{"backslash", `C:\certs`, `C:\certs`},
		{"written backwards", "a\u202egpj", `a\u202egpj`},
		{"line separator", "a\u2028b", `a\u2028b`},
		{"no width", "a\u200bb\ufeff", `a\u200bb\ufeff`},
		{"invalid UTF-8", "a\xffb\xc3", "a\ufffdb\ufffd"},
		{"NUL", "a\x00b", `a\x00b`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := redact.Printable(test.text); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("team/app:1")
	f.Add("\x1b[0Ksection_start:1:x\r\x1b[0K\n\t\x7f\u0085\u202e\xff")
	f.Fuzz(func(t *testing.T, text string) {
		printable := redact.Printable(text)
		if !utf8.ValidString(printable) {
			t.Errorf("%q is no UTF-8", printable)
		}
		for _, r := range printable {
			if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
				t.Errorf("%q has %q", printable, r)
			}
		}
		if again := redact.Printable(printable); again != printable {
			t.Errorf("%q becomes %q", printable, again)
		}
	})
}
