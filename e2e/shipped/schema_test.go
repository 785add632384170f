package shipped

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v2"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// GitLab's schema, which comes with gitlab-ci-local, accepts every keyword, its position and its type.
func TestPipelinesFollowTheSchema(t *testing.T) {
	schema := compileSchema(t)
	pipelines := map[string]string{".gitlab-ci.yml": read(t, ".gitlab-ci.yml"), "the component, included": includedComponent(t)}
	header, _, _ := strings.Cut(read(t, "templates/migration.yml"), "\n---\n")
	pipelines["the component's inputs"] = header
	for i, block := range yamlBlocks(t, "docs/pipeline.md") {
		pipelines[fmt.Sprintf("docs/pipeline.md, block %d", i+1)] = block
	}
	for name, text := range pipelines {
		t.Run(name, func(t *testing.T) {
			for _, document := range readDocuments(t, text) {
				if err := schema.Validate(document); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A schema that accepts everything would prove nothing.
func TestSchemaRefusesMistakes(t *testing.T) {
	schema := compileSchema(t)
	for name, text := range map[string]string{
		"unknown keyword of an input": "spec: {inputs: {a: {standard: b}}}",
		"unknown keyword of a job":    "a: {script: b, retry: {exit_code: [4]}}",
		"wrong type":                  "a: {script: b, parallel: many}",
		"unknown access":              "a: {script: b, artifacts: {access: everybody}}",
	} {
		for _, document := range readDocuments(t, text) {
			if schema.Validate(document) == nil {
				t.Errorf("%s: %q is not refused", name, text)
			}
		}
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	bin, err := engine.NPM(t.Context(), "gitlab-ci-local")
	if err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(filepath.Dir(bin), "gitlab-ci-local", "src", "schema", "schema.js")
	script := fmt.Sprintf("import {schema} from %q; console.log(JSON.stringify(schema))", module)
	text, err := exec.CommandContext(t.Context(), "node", "--input-type=module", "--eval", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	const name = "ci.json"
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(name, document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// includedComponent is GitLab's result of an include without inputs. The tags are removed: the schema, which is
// stricter than GitLab, requires at least one.
func includedComponent(t *testing.T) string {
	t.Helper()
	component := readComponent(t)
	values := map[string]any{}
	for name, input := range component.inputs {
		values[name] = input.Default
	}
	body := interpolate(t, component.body, values).(map[any]any)
	for _, job := range body {
		delete(job.(map[any]any), "tags")
	}
	text, err := yaml.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var yamlBlock = regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```$")

// yamlBlocks returns the YAML blocks of a Markdown file, without the indentation of the list that they are in.
func yamlBlocks(t *testing.T, name string) (blocks []string) {
	t.Helper()
	for _, match := range yamlBlock.FindAllStringSubmatch(read(t, name), -1) {
		var block strings.Builder
		for line := range strings.Lines(match[2]) {
			block.WriteString(strings.TrimPrefix(line, match[1]))
		}
		blocks = append(blocks, block.String())
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no YAML blocks", name)
	}
	return blocks
}

// readDocuments parses YAML documents as a JSON schema expects them.
func readDocuments(t *testing.T, text string) (documents []any) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var document map[any]any
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return documents
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		asJSON, err := json.Marshal(withStringKeys(document))
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(asJSON)))
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, value)
	}
}

func withStringKeys(node any) any {
	switch node := node.(type) {
	case map[any]any:
		result := map[string]any{}
		for key, value := range node {
			result[fmt.Sprint(key)] = withStringKeys(value)
		}
		return result
	case []any:
		result := make([]any, len(node))
		for i, value := range node {
			result[i] = withStringKeys(value)
		}
		return result
	}
	return node
}
