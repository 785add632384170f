package redact

import "fmt"

// Secret is a string that prints, formats and marshals as [hidden]. Its value is had by converting it to a string.
type Secret string

func (Secret) String() string               { return Hidden }
func (Secret) GoString() string             { return Hidden }
func (Secret) MarshalText() ([]byte, error) { return []byte(Hidden), nil }
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + Hidden + `"`), nil }

// Format hides the value from every verb, also from those that do not ask for a Stringer, such as %x.
func (Secret) Format(state fmt.State, _ rune) { _, _ = fmt.Fprint(state, Hidden) }
