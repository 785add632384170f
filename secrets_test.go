package main

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bareSecrets are external types that contain a secret as a plain string: anything that prints them shows it.
var bareSecrets = []string{
	"github.com/docker/docker/api/types/registry.AuthConfig",
	"github.com/aws/aws-sdk-go-v2/aws.Credentials",
	"github.com/aws/aws-sdk-go-v2/service/ecr/types.AuthorizationData",
}

// revealers are the functions that convert a secret to a string, each for a recipient that needs it.
var revealers = []string{"(amazon).engineAuth", "(Config).targetAuth", "(identityToken).GetIdentityToken"}

// secretType is the type that they convert from.
const secretType = "gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact.Secret"

// holders are the folders of the packages that handle secrets.
var holders = []string{".", "internal/ecr"}

// TestSecretsStayInTheirTypes type-checks the program. A secret leaves its type only where an engine or the SDK needs
// it, no other type is derived from it, which would lack its methods, and nothing that contains one as a plain string
// is passed as any, which is how functions that print take it.
func TestSecretsStayInTheirTypes(t *testing.T) {
	var revealed []string
	for _, folder := range holders {
		program := load(t, folder)
		for _, file := range program.files {
			for _, declaration := range file.Decls {
				revealed = append(revealed, program.inspect(t, declaration)...)
			}
		}
	}
	if slices.Sort(revealed); !slices.Equal(slices.Compact(revealed), slices.Sorted(slices.Values(revealers))) {
		t.Errorf("secrets become strings in %v, want %v", revealed, revealers)
	}
}

// inspect checks one declaration, and returns its function once for each secret that it converts.
func (s source) inspect(t *testing.T, declaration ast.Decl) (revealed []string) {
	function, _ := declaration.(*ast.FuncDecl)
	ast.Inspect(declaration, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.TypeSpec:
			if !n.Assign.IsValid() && s.isSecret(n.Type) { // an alias has the same methods
				t.Errorf("%s: %s has not the methods of what it is made of: embed it", s.position(n), n.Name)
			}
		case *ast.CallExpr:
			if s.reveals(n) {
				revealed = append(revealed, nameOf(function))
			}
			for _, argument := range s.asAny(n) {
				if held := bareSecret(s.info.TypeOf(argument), nil); held != "" {
					t.Errorf("%s: what holds a %s is passed on as any", s.position(argument), held)
				}
			}
		}
		return true
	})
	return revealed
}

// TestNoChildProcess: others can read the arguments and the environment of a child process.
func TestNoChildProcess(t *testing.T) {
	for _, folder := range holders {
		imports := load(t, folder).types.Imports()
		if slices.ContainsFunc(imports, func(p *types.Package) bool { return p.Path() == "os/exec" }) {
			t.Errorf("%s starts other programs", folder)
		}
	}
}

// source is a package of the program, type-checked.
type source struct {
	fset  *token.FileSet
	files []*ast.File
	types *types.Package
	info  *types.Info
}

// load gets the export data of the imports of the folder's package from the compiler.
func load(t *testing.T, folder string) source {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "./"+folder)
	output, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	exports := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(output)); lines.Scan(); {
		path, export, _ := strings.Cut(lines.Text(), " ")
		exports[path] = export
	}
	s := source{fset: token.NewFileSet(), info: &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{},
	}}
	names, _ := filepath.Glob(filepath.Join(folder, "*.go"))
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(s.fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		s.files = append(s.files, file)
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	config := types.Config{Importer: importer.ForCompiler(s.fset, "gc", open)}
	if s.types, err = config.Check(folder, s.fset, s.files, s.info); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s source) position(node ast.Node) token.Position { return s.fset.Position(node.Pos()) }

func (s source) isSecret(expression ast.Expr) bool {
	named, ok := types.Unalias(s.info.TypeOf(expression)).(*types.Named)
	return ok && named.String() == secretType
}

// reveals reports whether the call converts a secret to another type.
func (s source) reveals(call *ast.CallExpr) bool {
	return s.info.Types[call.Fun].IsType() && s.isSecret(call.Args[0]) && !s.isSecret(call.Fun)
}

// asAny returns the arguments of the call that are passed as any.
func (s source) asAny(call *ast.CallExpr) []ast.Expr {
	signature, ok := s.info.TypeOf(call.Fun).(*types.Signature)
	if !ok {
		return nil
	}
	var found []ast.Expr
	for i, argument := range call.Args {
		last := signature.Params().Len() - 1
		parameter := signature.Params().At(min(i, last)).Type()
		if list, ok := parameter.(*types.Slice); ok && signature.Variadic() && i >= last {
			parameter = list.Elem()
		}
		if empty, ok := parameter.Underlying().(*types.Interface); ok && empty.Empty() {
			found = append(found, argument)
		}
	}
	return found
}

// bareSecret returns the type within t that contains a secret as a plain string, if there is one.
func bareSecret(t types.Type, within []types.Type) string {
	if slices.Contains(within, t) {
		return ""
	}
	within = append(within, t)
	if named, ok := types.Unalias(t).(*types.Named); ok && slices.Contains(bareSecrets, named.String()) {
		return named.String()
	}
	switch u := t.Underlying().(type) {
	case *types.Struct:
		for field := range u.Fields() {
			if held := bareSecret(field.Type(), within); held != "" {
				return held
			}
		}
	case *types.Map:
		return bareSecret(u.Elem(), within)
	case interface{ Elem() types.Type }:
		return bareSecret(u.Elem(), within)
	}
	return ""
}

func nameOf(function *ast.FuncDecl) string {
	if function == nil {
		return "no function"
	}
	if function.Recv == nil {
		return function.Name.Name
	}
	receiver := function.Recv.List[0].Type
	if pointer, ok := receiver.(*ast.StarExpr); ok {
		receiver = pointer.X
	}
	return fmt.Sprintf("(%s).%s", receiver, function.Name.Name)
}
