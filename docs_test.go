package main

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// maxREADME is the maximum number of lines in the first page.
const maxREADME = 200

func TestREADMEIsShort(t *testing.T) {
	for _, name := range []string{"README.md", "README.ja.md"} {
		if lines := strings.Count(readPage(t, name), "\n"); lines >= maxREADME {
			t.Errorf("%s has %d lines", name, lines)
		}
	}
}

// Commands and configuration are the same in every language.
func TestTranslationHasTheSameCodeBlocks(t *testing.T) {
	want, got := codeBlocks(readPage(t, "README.md")), codeBlocks(readPage(t, "README.ja.md"))
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("README.ja.md has the code blocks\n%s\nand README.md\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The include on the first page is the one that the pipeline page explains, and that is tested.
func TestREADMEIncludesAsThePipelinesPageDoes(t *testing.T) {
	shown := slices.DeleteFunc(codeBlocks(readPage(t, "README.md")), func(block string) bool {
		return !strings.HasPrefix(block, "```yaml")
	})
	if len(shown) != 1 || !slices.Contains(codeBlocks(readPage(t, "docs/pipeline.md")), shown[0]) {
		t.Errorf("docs/pipeline.md does not have\n%s", strings.Join(shown, "\n"))
	}
}

func TestLinks(t *testing.T) {
	links := 0
	for _, page := range pages(t) {
		for _, link := range linksOf(readPage(t, page)) {
			links++
			file, anchor, _ := strings.Cut(link, "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: broken link %s", page, link)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(readPage(t, target)), anchor) {
				t.Errorf("%s: broken link %s: %s has no such heading", page, link, target)
			}
		}
	}
	if links < 30 {
		t.Errorf("only %d relative links found", links)
	}
}

func TestLinksOf(t *testing.T) {
	page := "[a](b.md), [c](https://example.com) ![d](e.png#f)\n```plaintext\n[no](link)\n```\n`[no](code)`\n[ref]: ../g.md\n"
	want := []string{"b.md", "e.png#f", "../g.md"}
	if got := linksOf(page); !slices.Equal(got, want) {
		t.Errorf("linksOf: %q, want %q", got, want)
	}
}

func TestAnchors(t *testing.T) {
	page := "# A `code` word, and a_name\n## What's new?\n```shell\n# comment\n```\n## 1. First step\n## What's new?\n## コマンド\n"
	want := []string{"a-code-word-and-a_name", "whats-new", "1-first-step", "whats-new-1", "コマンド"}
	if got := anchors(page); !slices.Equal(got, want) {
		t.Errorf("anchors: %q, want %q", got, want)
	}
}

// The reference documents exactly the variables that the program reads.
func TestReferenceHasEveryVariable(t *testing.T) {
	type row struct{ required, fallback string }
	documented := map[string]row{}
	section := sectionOf(t, readPage(t, "docs/reference.md"), "## Variables")
	for _, cells := range tableRows(section) {
		if name := strings.Trim(cells[0], "`"); name != cells[0] {
			documented[name] = row{cells[1], strings.Trim(cells[2], "`")}
		}
	}
	read := map[string]row{}
	for _, v := range variables() {
		read[v.Name] = row{map[bool]string{true: "Yes", false: "No"}[v.Required], v.Default}
	}
	if !maps.Equal(documented, read) {
		t.Errorf("docs/reference.md has\n%v\nand Config\n%v", documented, read)
	}
}

// report.json is also for programs: its page documents every field and every outcome.
func TestReportsHasTheWholeSchema(t *testing.T) {
	page := readPage(t, "docs/reports.md")
	schema := sectionOf(t, page, "## report.json")
	outcomes := sectionOf(t, page, "## Outcomes")
	fields, constants := 0, 0
	inspectProgram(t, func(path string, n ast.Node) {
		switch n := n.(type) {
		case *ast.Field:
			if name := jsonName(n); name != "" && name != "-" && declaresReport(path) {
				fields++
				expectFirstCell(t, schema, name)
			}
		case *ast.ValueSpec:
			if kind, ok := n.Type.(*ast.Ident); ok && kind.Name == "Outcome" {
				constants++
				expectFirstCell(t, outcomes, textOf(n.Values[0]))
			}
		}
	})
	if fields < 20 || constants < 10 {
		t.Errorf("only %d fields and %d outcomes found in the program", fields, constants)
	}
}

// The JSON formats are for programs as well.
func TestReportsHasTheWholeFormats(t *testing.T) {
	formats := sectionOf(t, readPage(t, "docs/reports.md"), "## JSON output of plan and verify")
	fields := 0
	inspectProgram(t, func(path string, n ast.Node) {
		if field, ok := n.(*ast.Field); ok && path == "internal/report/json.go" && jsonName(field) != "" {
			fields++
			expectFirstOrSecondCell(t, formats, jsonName(field))
		}
	})
	if fields < 40 {
		t.Errorf("only %d fields found in the program", fields)
	}
}

// declaresReport reports whether the fields of report.json are declared in the file.
func declaresReport(path string) bool {
	return strings.HasPrefix(path, "internal/record/")
}

// Users search the page for the program's messages, so its headings have to quote them.
func TestTroubleshootingHasTheProgramsWords(t *testing.T) {
	texts := programTexts(t)
	headings := regexp.MustCompile("(?m)^### (.*)$").FindAllStringSubmatch(readPage(t, "docs/troubleshooting.md"), -1)
	if len(headings) < 30 {
		t.Errorf("%d headings", len(headings))
	}
	for _, heading := range headings {
		for _, quoted := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(heading[1], -1) {
			for _, part := range strings.Split(quoted[1], "…") {
				if part = strings.TrimSpace(part); !strings.Contains(texts, part) {
					t.Errorf("no text of the program has %q", part)
				}
			}
		}
	}
}

var (
	versionHeading = regexp.MustCompile(`^## \[(\d+\.\d+\.\d+)\] - (\S+)$`)
	changeKinds    = []string{"### Added", "### Changed", "### Deprecated", "### Removed", "### Fixed", "### Security"}
)

// The release job uses a version's section of the changelog as the release's description.
func TestChangelogKeepsItsForm(t *testing.T) {
	newer := ""
	for i, heading := range regexp.MustCompile(`(?m)^## .*$`).FindAllString(readPage(t, "CHANGELOG.md"), -1) {
		section := sectionOf(t, readPage(t, "CHANGELOG.md"), heading)
		for _, kind := range regexp.MustCompile(`(?m)^### .*$`).FindAllString(section, -1) {
			if !slices.Contains(changeKinds, kind) {
				t.Errorf("%s: there is no kind of change %q", heading, kind)
			}
		}
		if i == 0 {
			if heading != "## [Unreleased]" {
				t.Errorf("the first section is %q", heading)
			}
			continue
		}
		version := versionHeading.FindStringSubmatch(heading)
		if version == nil || !strings.Contains(section, "\n- ") {
			t.Errorf("no release can be made of %q", heading)
			continue
		}
		if _, err := time.Parse(time.DateOnly, version[2]); err != nil {
			t.Errorf("%s: %v", heading, err)
		}
		if newer != "" && version[2] > newer {
			t.Errorf("%s is not in the order of dates", heading)
		}
		newer = version[2]
	}
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pages returns the names of all Markdown files of the repository.
func pages(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.md", "docs/*.md", "e2e/*.md", "e2e/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	return names
}

var codeBlock = regexp.MustCompile("(?ms)^ *```.*?^ *```$")

// codeBlocks returns the fenced blocks of a page.
func codeBlocks(page string) []string { return codeBlock.FindAllString(page, -1) }

var linkTarget = regexp.MustCompile(`(?m)\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$`)

// linksOf returns the targets of the relative links in a page.
func linksOf(page string) []string {
	prose := regexp.MustCompile("`[^`\n]+`").ReplaceAllString(codeBlock.ReplaceAllString(page, ""), "")
	var links []string
	for _, match := range linkTarget.FindAllStringSubmatch(prose, -1) {
		if link := cmp.Or(match[1], match[2]); !strings.Contains(link, ":") {
			links = append(links, link)
		}
	}
	return links
}

var notInAnchors = regexp.MustCompile(`[^\p{L}\p{N}\p{M} _-]`)

// anchors returns the anchors that GitLab generates for the headings of a page.
func anchors(page string) []string {
	var names []string
	seen := map[string]int{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(codeBlock.ReplaceAllString(page, ""), -1) {
		name := notInAnchors.ReplaceAllString(strings.ToLower(heading[1]), "")
		name = regexp.MustCompile(`[ -]+`).ReplaceAllString(name, "-")
		if n := seen[name]; n > 0 {
			names = append(names, name+"-"+strconv.Itoa(n))
		} else {
			names = append(names, name)
		}
		seen[name]++
	}
	return names
}

// sectionOf returns the part of a page below the heading, up to the next heading of the same level.
func sectionOf(t *testing.T, page, heading string) string {
	t.Helper()
	_, section, found := strings.Cut("\n"+page, "\n"+heading+"\n")
	if !found {
		t.Fatalf("there is no heading %q", heading)
	}
	level, _, _ := strings.Cut(heading, " ")
	section, _, _ = strings.Cut(section, "\n"+level+" ")
	return section
}

// tableRows returns the cells of all tables in a text.
func tableRows(text string) [][]string {
	var rows [][]string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "|") {
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells)
		}
	}
	return rows
}

// expectFirstCell looks for a name in the first column of the tables.
func expectFirstCell(t *testing.T, section, name string) {
	t.Helper()
	for _, cells := range tableRows(section) {
		if strings.Contains(cells[0], "`"+name+"`") {
			return
		}
	}
	t.Errorf("docs/reports.md has no row for %q", name)
}

// expectFirstOrSecondCell wants the name as that of a field, or of a part of one, which its description names.
func expectFirstOrSecondCell(t *testing.T, section, name string) {
	t.Helper()
	for _, cells := range tableRows(section) {
		if strings.Contains(cells[0]+cells[1], "`"+name+"`") {
			return
		}
	}
	t.Errorf("docs/reports.md does not name %q", name)
}

// jsonName is the name that a field of a struct has in JSON, if it says so.
func jsonName(field *ast.Field) string {
	if field.Tag == nil {
		return ""
	}
	tag, _ := strconv.Unquote(field.Tag.Value)
	name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
	return name
}

// programTexts returns all string constants in the program's source, with concatenations joined.
func programTexts(t *testing.T) string {
	t.Helper()
	var texts strings.Builder
	inspectProgram(t, func(_ string, n ast.Node) {
		if expression, ok := n.(ast.Expr); ok {
			texts.WriteString(textOf(expression) + "\n")
		}
	})
	return texts.String()
}

// inspectProgram visits every node of the program's source, without its tests.
func inspectProgram(t *testing.T, see func(path string, n ast.Node)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "e2e":
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			see(path, n)
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// textOf returns the value of an expression of string literals; other parts are omitted.
func textOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return text
		}
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return textOf(e.X) + textOf(e.Y)
		}
	}
	return ""
}

// The drawing has an arrow for each import, except those that a path of other arrows implies.
func TestArchitectureDrawsTheImports(t *testing.T) {
	imports := map[string][]string{}
	inspectProgram(t, func(path string, n ast.Node) {
		if spec, ok := n.(*ast.ImportSpec); ok {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if room, ours := strings.CutPrefix(imported, modulePath+"/internal/"); ours {
				from := roomOf(path)
				imports[from] = append(imports[from], room)
			}
		}
	})
	want := map[string]bool{}
	for from, rooms := range imports {
		if !reaches(imports, "main", from) {
			continue // only in tests
		}
		for _, to := range rooms {
			if !slices.ContainsFunc(rooms, func(via string) bool { return via != to && reaches(imports, via, to) }) {
				want[from+" --> "+to] = true
			}
		}
	}
	got := map[string]bool{}
	_, drawing, _ := strings.Cut(readPage(t, architecturePage), "```mermaid\n")
	drawing, _, _ = strings.Cut(drawing, "```")
	for _, arrow := range regexp.MustCompile(`(?m)^ *(\S+ --> \S+)$`).FindAllStringSubmatch(drawing, -1) {
		got[arrow[1]] = true
	}
	for arrow := range want {
		if !got[arrow] {
			t.Errorf("the drawing lacks %s", arrow)
		}
	}
	for arrow := range got {
		if !want[arrow] {
			t.Errorf("the drawing has %s, which no import needs", arrow)
		}
	}
}

const (
	architecturePage = "docs/architecture.md"
	modulePath       = "gitlab.com/ecr2gitlab/ecr2gitlab"
)

// roomOf returns the package of a file as the drawing names it.
func roomOf(path string) string {
	if room, internal := strings.CutPrefix(filepath.Dir(path), "internal/"); internal {
		return room
	}
	return "main"
}

// reaches reports whether imports lead from one package to the other.
func reaches(imports map[string][]string, from, to string) bool {
	return from == to || slices.ContainsFunc(imports[from], func(next string) bool { return reaches(imports, next, to) })
}

var fileLink = regexp.MustCompile("\\[`[^`]+\\.go`\\]\\(([^)]+)\\)")

// What a table row says is in a file is declared there.
func TestArchitectureNamesWhatThereIs(t *testing.T) {
	named := 0
	for _, cells := range tableRows(readPage(t, architecturePage)) {
		row := strings.Join(cells, "|")
		files := fileLink.FindAllStringSubmatch(row, -1)
		if len(files) == 0 {
			continue
		}
		var declared []string
		for _, file := range files {
			declared = append(declared, declarations(t, filepath.Join("docs", file[1]))...)
		}
		for _, name := range regexp.MustCompile("`([A-Za-z][A-Za-z.]*)`").FindAllStringSubmatch(fileLink.ReplaceAllString(row, ""), -1) {
			named++
			if !slices.Contains(declared, name[1]) {
				t.Errorf("%s is not in the files of %s", name[1], row)
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d names found", named)
	}
}

// declarations returns the names of the top-level declarations in a Go file, with methods as type.method.
func declarations(t *testing.T, name string) (names []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			names = append(names, receiverPrefix(d)+d.Name.Name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, s.Name.Name)
				case *ast.ValueSpec:
					for _, n := range s.Names {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

// receiverPrefix returns the receiver's type of a method with a dot, or "" for a function.
func receiverPrefix(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	kind := d.Recv.List[0].Type
	if pointer, ok := kind.(*ast.StarExpr); ok {
		kind = pointer.X
	}
	if name, ok := kind.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}
