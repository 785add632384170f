// Package page holds the tests of report.html in a browser.
package page

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// What a reader waits for at most, with as many tags as a large account has.
const (
	tags        = 20000
	longestLoad = 2000 // milliseconds
	longestWait = 100  // for the table, after a key or a click
)

// patience is for the browser to come up on a busy machine, and no promise.
const patience = 2 * time.Minute

// sample writes the report of a made-up night, and returns the address of its page.
func sample(t *testing.T, arguments ...string) string {
	t.Helper()
	dir := t.TempDir()
	command := exec.CommandContext(t.Context(), "go", append(append([]string{"run", "./internal/report/sample"}, arguments...), dir)...)
	command.Dir = filepath.Join("..", "..")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return "file://" + filepath.Join(dir, "report.html")
}

// browser is a tab of its own, of that size.
type browser struct {
	t        *testing.T
	tab      context.Context
	mu       sync.Mutex
	messages []string
}

// open opens the page as it looks in that window, light or dark.
func open(t *testing.T, address string, width, height int64, scheme string) *browser {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // which root cannot have
	)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, tab: ctx}
	chromedp.ListenTarget(ctx, b.listen)
	b.run(
		log.Enable(),
		chromedp.EmulateViewport(width, height),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
		chromedp.Navigate(address),
	)
	return b
}

// listen collects what the browser's console would show.
func (b *browser) listen(event any) {
	var message string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		message = e.ExceptionDetails.Error()
	case *runtime.EventConsoleAPICalled:
		message = fmt.Sprintf("console.%s", e.Type)
		for _, argument := range e.Args {
			message += fmt.Sprintf(" %s", argument.Value)
		}
	case *log.EventEntryAdded:
		message = fmt.Sprintf("%s: %s", e.Entry.Level, e.Entry.Text)
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, message)
}

func (b *browser) run(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.tab, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// value is what an expression of JavaScript is.
func value[T any](b *browser, expression string) T {
	b.t.Helper()
	var result T
	b.run(chromedp.Evaluate(expression, &result))
	return result
}

// expect fails the test where an expression is not what it should be.
func expect[T comparable](b *browser, expression string, want T) {
	b.t.Helper()
	if got := value[T](b, expression); got != want {
		b.t.Errorf("%s is %v, want %v", expression, got, want)
	}
}

// quiet fails the test where the console has anything.
func (b *browser) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.messages) > 0 {
		b.t.Errorf("the console says\n%s", strings.Join(b.messages, "\n"))
	}
}

// settle waits until the page shows what it has been told to.
func (b *browser) settle() {
	b.t.Helper()
	b.run(chromedp.Evaluate(`new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)))`, nil,
		func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
}

// picture keeps what can be seen of the page: with go test -artifacts for good.
func (b *browser) picture(name string) {
	b.t.Helper()
	b.settle()
	var image []byte
	b.run(chromedp.CaptureScreenshot(&image))
	if err := os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), image, 0o644); err != nil {
		b.t.Error(err)
	}
}

// took measures how long the page is busy with a statement, the new layout included, in milliseconds.
func (b *browser) took(statement string) float64 {
	b.t.Helper()
	return value[float64](b, `(() => {
		const began = performance.now();
		`+statement+`;
		document.body.getBoundingClientRect();
		return performance.now() - began;
	})()`)
}

func filterBy(words string) string {
	return fmt.Sprintf(`document.getElementById("search").value = %q;
		document.getElementById("search").dispatchEvent(new Event("input"))`, words)
}

// seen are the rows that the table has elements for.
const seen = `document.querySelectorAll("#rows .row:not([hidden])")`

func TestLargePage(t *testing.T) {
	b := open(t, sample(t, "-tags", fmt.Sprint(tags)), 1280, 900, "light")
	if took := value[float64](b, `performance.getEntriesByType("navigation")[0].loadEventEnd`); took > longestLoad {
		t.Errorf("it is loaded after %.0f ms", took)
	} else {
		t.Logf("loaded after %.0f ms", took)
	}
	expect(b, `document.getElementById("table").getAttribute("aria-rowcount")`, fmt.Sprint(tags+1))
	for _, step := range []struct{ name, statement string }{
		{"the first letter", filterBy("a")},
		{"two words", filterBy("data/ 1.2")},
		{"a digest", filterBy("sha256:0")},
		{"an error", filterBy("denied")},
		{"everything again", filterBy("")},
		{"an outcome", `document.querySelector("#wanted button").click()`},
		{"all outcomes", `document.querySelector("#wanted button").click()`},
		{"the largest first", `document.querySelector("[data-sort=bytes]").click()`},
		{"the end of the table", `scrollTo(0, document.body.scrollHeight); dispatchEvent(new Event("scroll"))`},
	} {
		if took := b.took(step.statement); took > longestWait {
			t.Errorf("%s took %.0f ms", step.name, took)
		} else {
			t.Logf("%s took %.1f ms", step.name, took)
		}
	}
	if rows := value[int](b, seen+".length"); rows > 200 {
		t.Errorf("the table has %d elements for its rows", rows)
	}
	b.quiet()
}

// The table shows just what is asked for, with the mouse or the keyboard.
func TestTable(t *testing.T) {
	b := open(t, sample(t, "-tags", "1500"), 1280, 900, "light")
	rows := `Array.from(` + seen + `, (row) => row.innerText)`
	b.run(chromedp.ScrollIntoView("#tags", chromedp.ByQuery), chromedp.SendKeys("#search", "failed denied", chromedp.ByQuery))
	failed := value[[]string](b, rows)
	for _, row := range failed {
		if !strings.HasPrefix(row, "failed") {
			t.Errorf("the table has %q", row)
		}
	}
	if len(failed) == 0 {
		t.Error("the table has no tag that has failed")
	}
	b.run(chromedp.Evaluate(filterBy("no tag is called so"), nil))
	expect(b, seen+".length", 0)
	expect(b, `document.querySelector(".none").isConnected`, true)
	b.run(chromedp.Evaluate(filterBy(""), nil))
	expect(b, `document.getElementById("matches").textContent`, "1,500 tags")

	// From row to row, over the edge of the window, and into one of them.
	b.run(chromedp.Focus("#rows .row button", chromedp.ByQuery))
	first := value[string](b, `document.activeElement.title`)
	for range 60 {
		b.run(chromedp.KeyEvent(kb.ArrowDown))
	}
	here := value[string](b, `document.activeElement.title`)
	if here == first {
		t.Error("the arrow keys lead nowhere")
	}
	expect(b, `document.activeElement.getBoundingClientRect().bottom <= innerHeight`, true)
	b.run(chromedp.KeyEvent(kb.Enter))
	expect(b, `document.getElementById("detail").open`, true)
	expect(b, `document.getElementById("detail-name").textContent`, here)
	b.picture("detail")
	b.run(chromedp.KeyEvent(kb.Escape))
	expect(b, `document.getElementById("detail").open`, false)
	b.quiet()
}

// The page is looked at on desks and phones, by day and by night.
func TestLooks(t *testing.T) {
	address := sample(t, "-tags", "4000")
	stopped := sample(t, "-tags", "3000", "-stopped")
	for _, test := range []struct {
		name, address, scheme string
		width, height         int64
	}{
		{"light", address, "light", 1280, 900},
		{"dark", address, "dark", 1280, 900},
		{"phone", address, "light", 400, 800},
		{"phone-dark", stopped, "dark", 400, 800},
		{"stopped", stopped, "light", 1000, 900},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := open(t, test.address, test.width, test.height, test.scheme)
			expect(b, `document.documentElement.scrollWidth <= innerWidth`, true)
			b.picture(test.name)
			for _, part := range []string{"missing", "time", "layers", "repositories", "tags"} {
				b.run(chromedp.Evaluate(fmt.Sprintf(`document.getElementById(%q)?.scrollIntoView()`, part), nil))
				b.picture(test.name + "-" + part)
			}
			expect(b, `document.documentElement.scrollWidth <= innerWidth`, true)
			dark := value[bool](b, `getComputedStyle(document.body).backgroundColor.match(/\d+/)[0] < 128`)
			if dark != (test.scheme == "dark") {
				t.Errorf("dark: %t", dark)
			}
			b.quiet()
		})
	}
}
