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

// patience is how long a browser may take to start on a busy machine. It is not a target.
const patience = 2 * time.Minute

// window is the viewport of a reader.
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

// browser shows one page in its own process, and records what a page must not do.
type browser struct {
	t   *testing.T
	tab context.Context

	mu       sync.Mutex
	messages []string // from the console
	requests []string
}

// open opens the page in the window. It fails the test if there is no browser.
func open(t *testing.T, address string, w window) *browser {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // required for root
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

// listen records the browser's console messages, and the page's requests.
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

// run runs JavaScript statements.
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

// value returns the value of a JavaScript expression, or of its promise.
func value[T any](b *browser, expression string) T {
	b.t.Helper()
	result, err := chromedp.Run(b.tab, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return result
}

// expect fails the test unless the expressions have the expected values.
func expect[T comparable](b *browser, expression string, want T) {
	b.t.Helper()
	if got := value[T](b, expression); got != want {
		b.t.Errorf("%s is %v, want %v", expression, got, want)
	}
}

// painted is a promise that resolves when the page has been rendered.
const painted = `new Promise((done) => requestAnimationFrame(() => setTimeout(done)))`

// took returns the time from a statement until the page shows the result, in milliseconds.
func (b *browser) took(statement string) float64 {
	b.t.Helper()
	return value[float64](b, `(async () => {
		const began = performance.now();
		`+statement+`;
		await `+painted+`;
		return performance.now() - began;
	})()`)
}

// picture saves a screenshot of the page; go test -artifacts keeps it.
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

// quiet fails the test if the console has messages, or the page has requested anything but itself.
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
