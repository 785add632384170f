package shipped

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"
)

// The component is the pipeline's job and nothing else: what its inputs add is empty if they are not set.
func TestComponentIsTheMigrationJob(t *testing.T) {
	component, plain := readComponent(t), readJob(t, ".gitlab-ci.yml")
	name, included := component.include(t, nil)
	if name != "migration" {
		t.Errorf("the component's job is named %q", name)
	}
	if included.Image != publishedImage {
		t.Errorf("the component's job runs in %q", included.Image)
	}
	plain.Image, plain.Stage = included.Image, included.Stage
	delete(plain.Variables, "ECR2GITLAB_IMAGE")
	for variable := range component.inputVariables(t) {
		if _, both := plain.Variables[variable]; !both {
			delete(included.Variables, variable)
		}
	}
	// The plain job has its own project; components may be included twice. Loopback is insecure anyway, and no more options
	// leave a space.
	own := strings.NewReplacer("ecr2gitlab-migration-", "ecr2gitlab-", "ecr2gitlab migrate ", "ecr2gitlab ",
		" --insecure-registry=127.0.0.0/8", "")
	command := included.Services[0].Command
	command[len(command)-1] = strings.TrimSuffix(own.Replace(command[len(command)-1]), " ")
	included.ResourceGroup = own.Replace(included.ResourceGroup)
	included.Cache["key"] = own.Replace(included.Cache["key"].(string))
	for i, line := range included.Script {
		included.Script[i] = own.Replace(line)
	}
	if !reflect.DeepEqual(included, plain) {
		t.Errorf("the component's job is\n%+v\nand the pipeline's\n%+v", included, plain)
	}
	want := append(readKeywords(t, ".gitlab-ci.yml"), "parallel", "tags")
	slices.Sort(want)
	if got := component.keywords(); !slices.Equal(got, want) {
		t.Errorf("the component's job has the keywords %q, and the pipeline's %q", got, want)
	}
}

func TestComponentInputs(t *testing.T) {
	component := readComponent(t)
	_, body, _ := strings.Cut(read(t, "templates/migration.yml"), "\n---\n")
	for name, input := range component.inputs {
		if !strings.HasSuffix(input.Description, ".") {
			t.Errorf("%s: the description is %q", name, input.Description)
		}
		if input.Default == nil {
			t.Errorf("%s: no default, which makes it mandatory; the variables in Settings would not do", name)
		}
		if err := input.check(input.Default); err != nil {
			t.Errorf("%s: the default: %v", name, err)
		}
		if !strings.Contains(body, "$[[ inputs."+name+" ]]") {
			t.Errorf("%s: not used", name)
		}
	}
}

func TestComponentChecksInputs(t *testing.T) {
	tests := map[string]struct{ good, bad []any }{
		"aws_account_id":    {[]any{"123456789012", "$ACCOUNT"}, []any{123456789012, "1234-5678-9012", "123456789012\n"}},
		"aws_region":        {[]any{"eu-west-1", "us-gov-west-1", "$REGION"}, []any{"eu-west-1a", "Ireland"}},
		"aws_role_arn":      {[]any{"arn:aws-cn:iam::123456789012:role/ci/migration", "$ROLE"}, []any{"migration"}},
		"command":           {[]any{"plan", "plan --rate 50MB --within 3h", "verify --pull=10"}, []any{"", "help", "plan; rm -rf /", "plan $(id)"}},
		"concurrency":       {[]any{"1", "9", "10", "64"}, []any{8, "0", "65", "many"}},
		"conflict":          {[]any{"overwrite", "keep"}, []any{"fail"}},
		"engine_args":       {[]any{embeddedContainerd, "--registry-mirror=https://mirror.example.com:5000 --log-level=debug"}, notArguments},
		"insecure_registry": {[]any{"registry.example.com:5000", "10.0.0.0/8", "[::1]:5000"}, []any{"", "a b", "a; reboot", "$(id)"}},
		"job_name":          {[]any{"eu-west-1", "migration of 2"}, []any{"", "a/b", "a:b", "-"}},
		"name_separator":    {[]any{"-", "__"}, []any{"--", "/"}},
		"newest":            {[]any{"20"}, []any{20, "0", "-1"}},
		"parallel":          {[]any{4}, []any{"4"}},
		"platform":          {[]any{"linux/amd64", "linux/arm/v7", "windows(10.0.17763.1)/amd64"}, []any{"amd64"}},
		"runner_tags":       {[]any{[]any{"saas-linux-large-amd64"}}, []any{"saas-linux-large-amd64"}},
	}
	component := readComponent(t)
	for name, test := range tests {
		for _, value := range test.good {
			if err := component.inputs[name].check(value); err != nil {
				t.Errorf("%s: %v: %v", name, value, err)
			}
		}
		for _, value := range test.bad {
			if component.inputs[name].check(value) == nil {
				t.Errorf("%s: %q is not refused", name, value)
			}
		}
	}
}

// notArguments are values that the service's shell would take apart, or that dockerd would not take as options.
var notArguments = []any{
	"-D", "debug", " --debug", "--debug  --tls", "--log-level debug", "--debug\n--tls", "--debug; reboot", "--debug --dns=$(id)", "--dns=`id`",
	"--dns='a'", "--dns=a&", "--dns=$ENGINE", "--dns=a>b", "--dns=*",
}

// There is an input for every variable that users can set.
func TestComponentReachesEveryVariable(t *testing.T) {
	excluded := map[string]string{"MIGRATE_REPORT_DIR": "the artifacts and the cache are taken from the project's folder"}
	reached := readComponent(t).inputVariables(t)
	for _, name := range helpVariables(t) {
		if !strings.HasPrefix(name, "MIGRATE_") {
			continue
		}
		if _, without := excluded[name]; reached[name] == without {
			t.Errorf("%s is set by an input: %t", name, reached[name])
		}
	}
}

// Inputs that are not set must not set variables to values that the program rejects, and the others must be accepted.
func TestComponentSetsWhatTheProgramTakes(t *testing.T) {
	region := map[string]any{"aws_account_id": "123456789012", "aws_region": "eu-west-1"}
	all := map[string]any{
		"aws_role_arn": "arn:aws:iam::123456789012:role/ecr2gitlab", "repositories": "team/**, !team/old-*", "tags": "v*", "newest": "20",
		"since": "90d", "platform": "linux/amd64", "leave_out": "application/vnd.amazon.soci.*", "conflict": "keep", "rename": `team/(.*) => \1`, "name_separator": "-", "concurrency": "8", "disk": "20GB", "stall": "90s", "deadline": "2h30m",
	}
	maps.Copy(all, region)
	for name, inputs := range map[string]map[string]any{"as few as there may be": region, "all": all} {
		t.Run(name, func(t *testing.T) {
			_, included := readComponent(t).include(t, inputs)
			env := []string{"CI_REGISTRY=registry.example.com", "CI_REGISTRY_IMAGE=registry.example.com/group/project", "CI_REGISTRY_USER=user"}
			for variable, value := range included.Variables {
				env = append(env, variable+"="+value)
			}
			// A required variable is missing, and nothing else is wrong.
			outcome := run(t, env)
			expectExit(t, outcome, 2)
			if problems := regexp.MustCompile(`(?m)^  - (\w+)`).FindAllString(outcome.Stderr, -1); len(problems) != 1 {
				t.Errorf("the program finds %q:\n%s", problems, outcome.Stderr)
			}
			expectOutput(t, outcome.Stderr, "CI_REGISTRY_PASSWORD: missing")
		})
	}
}

// The documentation shows an include from the reader's own instance, with inputs that exist.
func TestPagesIncludeTheComponent(t *testing.T) {
	component := readComponent(t)
	for _, page := range []string{"README.md", "docs/pipeline.md"} {
		includes := readIncludes(t, page)
		for _, shown := range includes {
			if want := "$CI_SERVER_FQDN/your-group/ecr2gitlab/migration@main"; shown.Component != want {
				t.Errorf("%s includes %q", page, shown.Component)
			}
			component.include(t, shown.Inputs)
		}
		if len(includes[0].Inputs) == 0 {
			t.Errorf("%s shows no inputs first", page)
		}
	}
}

// GitLab interpolates a pipeline's own input in rules, as it does with a component's.
func TestPipelineInputDecides(t *testing.T) {
	var blocks []string
	for _, block := range yamlBlocks(t, "docs/pipeline.md") {
		if strings.HasPrefix(block, "spec:") {
			blocks = append(blocks, block)
		}
	}
	if len(blocks) != 1 {
		t.Fatalf("docs/pipeline.md declares inputs in %d blocks", len(blocks))
	}
	header, body := readWithInputs[struct {
		Include []include `yaml:"include"`
	}](t, blocks[0])
	if migrate := header["migrate"]; migrate.Type != "boolean" || migrate.Default != false {
		t.Errorf("the input migrate is %+v", migrate)
	}
	want := []any{map[any]any{"if": `"$[[ inputs.migrate ]]" == "true"`}}
	if rules := body.Include[0].Inputs["rules"]; !reflect.DeepEqual(rules, want) {
		t.Errorf("the rules are %v, want %v", rules, want)
	}
}

func TestPageHasEveryInput(t *testing.T) {
	rows := regexp.MustCompile("(?m)^\\| (`[a-z_]+`(?:, `[a-z_]+`)*) \\|(.*?)\\|").FindAllStringSubmatch(read(t, "docs/pipeline.md"), -1)
	for name, input := range readComponent(t).inputs {
		row := slices.IndexFunc(rows, func(row []string) bool { return strings.Contains(row[1], "`"+name+"`") })
		if row < 0 {
			t.Errorf("docs/pipeline.md does not have %s", name)
			continue
		}
		value := fmt.Sprint(input.Default)
		if input.Type != "array" && value != "" && !strings.Contains(rows[row][2], "`"+value+"`") {
			t.Errorf("docs/pipeline.md does not have the default of %s, %s", name, value)
		}
	}
}

// publishedImage is the image that the pipeline of a project named ecr2gitlab publishes, in the reader's top-level
// group.
const publishedImage = "$CI_REGISTRY/$CI_PROJECT_ROOT_NAMESPACE/ecr2gitlab:latest"

// component is templates/migration.yml: a header with the inputs, followed by the configuration that they are inserted
// into.
type component struct {
	inputs map[string]input
	body   map[any]any
}

// input holds the rules by which GitLab validates a value.
type input struct {
	Description string `yaml:"description"`
	Type        string `yaml:"type"`
	Default     any    `yaml:"default"`
	Options     []any  `yaml:"options"`
	Regex       string `yaml:"regex"`
}

func readComponent(t *testing.T) component {
	t.Helper()
	inputs, body := readWithInputs[map[any]any](t, read(t, "templates/migration.yml"))
	if len(inputs) == 0 || len(body) != 1 {
		t.Fatalf("%d inputs and %d jobs", len(inputs), len(body))
	}
	return component{inputs, body}
}

// readWithInputs reads a file that declares inputs.
func readWithInputs[T any](t *testing.T, text string) (inputs map[string]input, body T) {
	t.Helper()
	documents := yaml.NewDecoder(strings.NewReader(text))
	documents.SetStrict(true)
	var header struct {
		Spec struct {
			Inputs map[string]input `yaml:"inputs"`
		} `yaml:"spec"`
	}
	for _, document := range []any{&header, &body} {
		if err := documents.Decode(document); err != nil {
			t.Fatal(err)
		}
	}
	return header.Spec.Inputs, body
}

// include processes an include like GitLab: it validates the inputs and inserts them.
func (c component) include(t *testing.T, inputs map[string]any) (name string, included job) {
	t.Helper()
	values := map[string]any{}
	for name, input := range c.inputs {
		values[name] = input.Default
	}
	for name, value := range inputs {
		if err := c.inputs[name].check(value); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		values[name] = value
	}
	text, err := yaml.Marshal(interpolate(t, c.body, values))
	if err != nil {
		t.Fatal(err)
	}
	jobs := map[string]job{}
	if err := yaml.Unmarshal(text, &jobs); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for name, included = range jobs {
		return name, included
	}
	return name, included
}

// check implements the rules for the types that the component uses.
func (i input) check(value any) error {
	if want := map[string]reflect.Kind{"string": reflect.String, "number": reflect.Int, "array": reflect.Slice}[i.Type]; reflect.ValueOf(value).Kind() != want {
		return fmt.Errorf("%v is not of the type %q", value, i.Type)
	}
	if len(i.Options) > 0 && !slices.Contains(i.Options, value) {
		return fmt.Errorf("%v is not among %q", value, i.Options)
	}
	if i.Regex == "" {
		return nil
	}
	if text, isText := value.(string); !isText || !regexp.MustCompile(i.Regex).MatchString(text) {
		return fmt.Errorf("%q does not match %s", value, i.Regex)
	}
	return nil
}

var inputBlock = regexp.MustCompile(`\$\[\[ inputs\.([a-z_]+) \]\]`)

// interpolate inserts values unchanged if a block stands alone, and as text within other text.
func interpolate(t *testing.T, node any, values map[string]any) any {
	t.Helper()
	valueOf := func(block string) any {
		name := inputBlock.FindStringSubmatch(block)[1]
		value, ok := values[name]
		if !ok {
			t.Fatalf("there is no input %s", name)
		}
		return value
	}
	switch node := node.(type) {
	case map[any]any:
		result := map[any]any{}
		for key, value := range node {
			result[interpolate(t, key, values)] = interpolate(t, value, values)
		}
		return result
	case []any:
		var result []any
		for _, value := range node {
			result = append(result, interpolate(t, value, values))
		}
		return result
	case string:
		if inputBlock.FindString(node) == node && node != "" {
			return valueOf(node)
		}
		return inputBlock.ReplaceAllStringFunc(node, func(block string) string { return fmt.Sprint(valueOf(block)) })
	}
	return node
}

// job returns the only job.
func (c component) job() map[any]any {
	for _, job := range c.body {
		return job.(map[any]any)
	}
	return nil
}

// inputVariables returns the job's variables that inputs set.
func (c component) inputVariables(t *testing.T) map[string]bool {
	t.Helper()
	set := map[string]bool{}
	for name, value := range c.job()["variables"].(map[any]any) {
		if inputBlock.MatchString(value.(string)) {
			set[name.(string)] = true
		}
	}
	return set
}

func (c component) keywords() []string { return sortedKeys(c.job()) }

// readKeywords returns the keywords of a pipeline's migration job.
func readKeywords(t *testing.T, name string) []string {
	t.Helper()
	var pipeline map[string]any
	if err := yaml.Unmarshal([]byte(read(t, name)), &pipeline); err != nil {
		t.Fatal(err)
	}
	return sortedKeys(pipeline["migration"].(map[any]any))
}

func sortedKeys(m map[any]any) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key.(string))
	}
	slices.Sort(keys)
	return keys
}

// include is an include of a component.
type include struct {
	Component string         `yaml:"component"`
	Inputs    map[string]any `yaml:"inputs"`
}

// readIncludes returns the includes on a page, in order.
func readIncludes(t *testing.T, page string) (all []include) {
	t.Helper()
	for _, block := range yamlBlocks(t, page) {
		for _, document := range strings.Split(block, "\n---\n") {
			var pipeline struct {
				Include []include `yaml:"include"`
			}
			if err := yaml.Unmarshal([]byte(document), &pipeline); err != nil {
				t.Fatalf("%v in\n%s", err, document)
			}
			all = append(all, pipeline.Include...)
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s includes nothing", page)
	}
	return all
}
