package usage

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/kelseyhightower/envconfig"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

// Environment maps variable names to values.
type Environment map[string]string

// EnvironmentOf parses entries in the form of os.Environ. If a name occurs more than once, the last entry wins.
func EnvironmentOf(entries []string) Environment {
	env := Environment{}
	for _, entry := range entries {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}

// Get returns the variable's value, or "" if it is not set.
func (e Environment) Get(name string) string { return e[name] }

// Variable is one line of the reference of an environment.
type Variable struct {
	Name        string
	Default     string
	Required    bool
	Instead     string // the variable that can replace a required one
	Short       string // for the help; empty: not in the help
	Description string
	Secret      bool
}

// VariablesOf builds the reference from the tags of a configuration's fields, in order. The tags for name, default and
// required are those of envconfig.
func VariablesOf(config reflect.Type) []Variable {
	var all []Variable
	for field := range config.Fields() {
		all = append(all, Variable{
			Name:        field.Tag.Get("envconfig"),
			Default:     field.Tag.Get("default"),
			Required:    field.Tag.Get("required") == "true",
			Instead:     field.Tag.Get("instead"),
			Short:       field.Tag.Get("short"),
			Description: field.Tag.Get("desc"),
			Secret:      field.Type == reflect.TypeFor[redact.Secret](),
		})
	}
	return all
}

// Unknown reports set variables with the program's prefix that are not in the reference.
func Unknown(prefix string, reference []Variable, env Environment) []string {
	known := prefixed(prefix, reference)
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if strings.HasPrefix(name, prefix) && env[name] != "" && !slices.Contains(known, name) {
			plain := strings.Trim(strconv.Quote(name), `"`) // it may contain a newline
			problems = append(problems, fmt.Sprintf("%s: unknown; there %s", plain, nearest(prefix, name, known)))
		}
	}
	return problems
}

// nearest names the variable that was probably meant, or else all of them. The comparison ignores their common prefix.
func nearest(prefix, name string, known []string) string {
	var endings []string
	for _, v := range known {
		endings = append(endings, strings.TrimPrefix(v, prefix))
	}
	if near := Nearest(strings.TrimPrefix(name, prefix), endings); near != "" {
		return "is " + prefix + near
	}
	return "are " + strings.Join(known, ", ")
}

func prefixed(prefix string, reference []Variable) []string {
	var names []string
	for _, v := range reference {
		if strings.HasPrefix(v.Name, prefix) {
			names = append(names, v.Name)
		}
	}
	return names
}

// ReadField has envconfig process a struct with only this field. envconfig reads the environment of the process, so the
// variable is set there during the call, or unset if the value is empty. It returns an error only for numbers.
func ReadField(field reflect.StructField, target reflect.Value, name, value string) error {
	if before, set := os.LookupEnv(name); set {
		defer func() { _ = os.Setenv(name, before) }()
	} else {
		defer func() { _ = os.Unsetenv(name) }()
	}
	_ = os.Unsetenv(name)
	if value != "" {
		_ = os.Setenv(name, value) // a value that the operating system rejects counts as missing
	}
	field.Tag = reflect.StructTag(strings.Replace(string(field.Tag), `required:"true"`, "", 1)) // checked by the caller
	single := reflect.New(reflect.StructOf([]reflect.StructField{field}))
	if err := envconfig.Process("", single.Interface()); err != nil {
		return err
	}
	target.Set(single.Elem().Field(0))
	return nil
}
