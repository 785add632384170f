package redact

import "fmt"

// Secret is a string that prints, formats and marshals as [hidden]. Convert it to a string to get its value.
type Secret string

// String returns [hidden].
func (Secret) String() string { return Hidden }

// GoString returns [hidden], as %#v prints it.
func (Secret) GoString() string { return Hidden }

// MarshalText returns [hidden].
func (Secret) MarshalText() ([]byte, error) { return []byte(Hidden), nil }

// MarshalJSON returns [hidden] as a string.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + Hidden + `"`), nil }

// Format hides the value from every verb, including those that do not use Stringer, such as %x.
func (Secret) Format(state fmt.State, _ rune) { _, _ = fmt.Fprint(state, Hidden) }
