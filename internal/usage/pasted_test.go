package usage

import "testing"

func TestPasted(t *testing.T) {
	const ends, begins = "must not begin or end with white space (it ends with ", "must not begin or end with white space (it begins with "
	for value, want := range map[string]string{
		"":                  "",
		"secret":            "",
		"two words":         "",
		`"`:                 "",
		`"a`:                "",
		`a"b"`:              "",
		"secret\n":          ends + "a line break)",
		"secret\r\n":        ends + "a line break)",
		"secret\r":          ends + "a carriage return)",
		"secret ":           ends + "a space)",
		" secret":           begins + "a space)",
		"\tsecret":          begins + "a tab)",
		"\ufeffsecret":      begins + "U+FEFF)",
		"secret\u00a0":      ends + "U+00A0)",
		" ":                 ends + "a space)",
		"-----\nof a key":   "must not contain line breaks",
		`"secret"`:          "must not be in quotes",
		"'secret'":          "must not be in quotes",
		"“secret”":          "must not be in quotes",
		`'secret"`:          "",
		"\xffsecret\xff":    "",
		"`secret`":          "must not be in quotes",
		`""`:                "must not be in quotes",
		"\u200bsecret word": begins + "U+200B)",
	} {
		if got := Pasted(value); got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
}
