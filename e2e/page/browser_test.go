package page

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is for the browser to come up on a busy machine, and no promise.
const patience = 2 * time.Minute

// window is how a reader looks at the page.
type window struct {
	width, height int64
	dark          bool
	touch         bool // a phone
	noScript      bool
}

var desk = window{width: 1280, height: 900}

func (w window) emulate(ctx context.Context, tab *chromedp.Target) error {
	scheme := "light"
	if w.dark {
		scheme = "dark"
	}
	if _, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}); err != nil {
		return err
	}
	_, err := cdp.Call(ctx, tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: w.noScript})
	return err
}

// browser shows one page. It has a process of its own, and notes what a page must not do.
type browser struct {
	t   *testing.T
	tab context.Context

	mu       sync.Mutex
	messages []string // of the console
	requests []string
}

// open opens the page in the window. A machine without a browser fails the test.
func open(t *testing.T, address string, w window) *browser {
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
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("no browser, which make setup installs: %v", err)
	}
	var emulated []chromedp.EmulateViewportOption
	if w.touch {
		emulated = append(emulated, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	b.do(
		chromedp.EmulateViewport(w.width, w.height, emulated...),
		chromedp.Func(w.emulate),
		chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			_, err := cdp.Call(ctx, tab, network.Enable, network.EnableParams{})
			return err
		}),
		chromedp.Navigate(address),
	)
	return b
}

// listen notes what the browser's console would show, and what the page asks others for.
func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.messages = append(b.messages, fmt.Sprintf("%s %s", e.ExceptionDetails.Text, e.ExceptionDetails.Exception.Description))
	case *runtime.EventConsoleAPICalled:
		b.messages = append(b.messages, fmt.Sprintf("console.%s", e.Type))
	case *log.EventEntryAdded:
		b.messages = append(b.messages, fmt.Sprintf("%s: %s", e.Entry.Level, e.Entry.Text))
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	}
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.tab, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// run runs statements of JavaScript.
func (b *browser) run(statements string) {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](statements))
}

// press presses keys, one after the other.
func (b *browser) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		b.do(chromedp.KeyEvent(key))
	}
}

// value is what an expression of JavaScript is, or promises.
func value[T any](b *browser, expression string) T {
	b.t.Helper()
	result, err := chromedp.Run(b.tab, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return result
}

// expect fails the test where an expression is not what it should be.
func expect[T comparable](b *browser, expression string, want T) {
	b.t.Helper()
	if got := value[T](b, expression); got != want {
		b.t.Errorf("%s is %v, want %v", expression, got, want)
	}
}

// painted is a promise that is kept once the page shows what it has been told to.
const painted = `new Promise((done) => requestAnimationFrame(() => setTimeout(done)))`

// took measures how long the page takes from a statement until it shows the result, in milliseconds.
func (b *browser) took(statement string) float64 {
	b.t.Helper()
	return value[float64](b, `(async () => {
		const began = performance.now();
		`+statement+`;
		await `+painted+`;
		return performance.now() - began;
	})()`)
}

// picture keeps what can be seen of the page: with go test -artifacts for good.
func (b *browser) picture(name string) {
	b.t.Helper()
	image, err := chromedp.Run(b.tab, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), image, 0o644); err != nil {
		b.t.Error(err)
	}
}

// quiet fails the test where the console has anything, or the page has asked for anything but itself.
func (b *browser) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.messages) > 0 {
		b.t.Errorf("the console says\n%s", strings.Join(b.messages, "\n"))
	}
	for _, address := range b.requests {
		if !strings.HasPrefix(address, "file://") || !strings.HasSuffix(address, "/report.html") {
			b.t.Errorf("the page asks for %s", address)
		}
	}
}
