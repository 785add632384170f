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

// Environment has the values of variables by name.
type Environment map[string]string

// EnvironmentOf reads entries such as those of os.Environ. Of several of one name the last one counts.
func EnvironmentOf(entries []string) Environment {
	env := Environment{}
	for _, entry := range entries {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}

// Get returns the variable's value, which is empty where it is not set.
func (e Environment) Get(name string) string { return e[name] }

// Variable is one line of the reference of an environment.
type Variable struct {
	Name        string
	Default     string
	Required    bool
	Instead     string // the variable that does as well, of one that is required
	Short       string // for the help; without it the variable is not there
	Description string
	Secret      bool
}

// VariablesOf reads the reference from the tags of a configuration's fields, in their order. The tags of the name, the
// default and whether the variable is required are those of envconfig.
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

// Unknown finds the misspelled ones among the set variables that, by their prefix, can only be meant for this program.
func Unknown(prefix string, reference []Variable, env Environment) []string {
	known := prefixed(prefix, reference)
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if strings.HasPrefix(name, prefix) && env[name] != "" && !slices.Contains(known, name) {
			plain := strings.Trim(strconv.Quote(name), `"`) // it may hold a line end
			problems = append(problems, fmt.Sprintf("%s: unknown; there %s", plain, nearest(prefix, name, known)))
		}
	}
	return problems
}

// nearest tells which variable was meant, or else all that there are. Their common beginning tells nothing.
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

// ReadField has envconfig process a struct with this field only. envconfig reads the environment of the process, which
// has the value for that long, and does not have the variable if the value is empty. It returns an error for numbers
// only.
func ReadField(field reflect.StructField, target reflect.Value, name, value string) error {
	if before, set := os.LookupEnv(name); set {
		defer func() { _ = os.Setenv(name, before) }()
	} else {
		defer func() { _ = os.Unsetenv(name) }()
	}
	_ = os.Unsetenv(name)
	if value != "" {
		_ = os.Setenv(name, value) // a value that the operating system refuses is missing
	}
	field.Tag = reflect.StructTag(strings.Replace(string(field.Tag), `required:"true"`, "", 1)) // the caller has checked it
	single := reflect.New(reflect.StructOf([]reflect.StructField{field}))
	if err := envconfig.Process("", single.Interface()); err != nil {
		return err
	}
	target.Set(single.Elem().Field(0))
	return nil
}
