package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// People search the page for what the program has printed, so its headings have to be the program's words.
func TestTroubleshootingHasTheProgramsWords(t *testing.T) {
	page, err := os.ReadFile("docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	texts := programTexts(t)
	headings := regexp.MustCompile("(?m)^### (.*)$").FindAllStringSubmatch(string(page), -1)
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

// programTexts are all texts of the program's source, those that are put together of several as one.
func programTexts(t *testing.T) string {
	t.Helper()
	var texts strings.Builder
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
			if expression, ok := n.(ast.Expr); ok {
				text := textOf(expression)
				texts.WriteString(text + "\n")
				return text == "" // its parts are in it
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts.String()
}

// textOf is what an expression of string literals stands for; of other parts there is nothing.
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
