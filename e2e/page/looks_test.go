package page

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// fits reports whether the page is no wider than the window, at any scroll position.
const fits = `document.documentElement.scrollWidth <= innerWidth`

// faint returns the texts with too little contrast to their background, according to WCAG 2.2, level AA.
const faint = `(() => {
	const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
	const rgba = (colour) => {
		canvas.clearRect(0, 0, 1, 1);
		canvas.fillStyle = colour;
		canvas.fillRect(0, 0, 1, 1);
		return [...canvas.getImageData(0, 0, 1, 1).data];
	};
	const light = (colour) => colour.slice(0, 3).map((c) => c / 255)
		.map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
		.reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = (it) => {
		for (; it; it = it.parentElement) {
			const colour = rgba(getComputedStyle(it).backgroundColor);
			if (colour[3] === 255) return colour;
		}
		return [255, 255, 255, 255];
	};
	const found = new Set();
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const [text, it] = [walker.currentNode.data.trim(), walker.currentNode.parentElement];
		if (!text || !it.checkVisibility({ visibilityProperty: true })) continue;
		const style = getComputedStyle(it);
		const ground = behind(it);
		const ink = rgba(it.closest("svg") ? style.fill : style.color);
		const seen = ink.map((c, i) => c * style.opacity + ground[i] * (1 - style.opacity));
		const [bright, dark] = [light(seen), light(ground)].sort((a, b) => b - a);
		const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
		if ((bright + 0.05) / (dark + 0.05) < (large ? 3 : 4.5)) found.add(it.tagName + "." + it.className + " " + text.slice(0, 40));
	}
	return [...found];
})()`

// narrow returns the controls that are too small for touch.
const narrow = `Array.from(document.querySelectorAll("button, summary, input, nav a, .repositories a"))
	.filter((it) => it.checkVisibility({ visibilityProperty: true }) && !it.closest(".row") && it.getBoundingClientRect().height < 40)
	.map((it) => it.outerHTML.slice(0, 80))`

// The page is checked on desktops and phones, in light and dark mode, after successful and failed runs.
func TestLooks(t *testing.T) {
	phone := window{width: 400, height: 800, touch: true}
	night := phone
	night.dark = true
	for _, test := range []struct {
		name, story string
		tags        int
		window      window
		parts       string
	}{
		{"light", "night", 4000, window{width: 1440, height: 900}, "missing repositories time tags"},
		{"dark", "night", 4000, window{width: 1440, height: 900, dark: true}, "missing repositories time tags"},
		{"phone", "night", 4000, phone, "missing repositories time tags"},
		{"phone-dark", "stopped", 3000, night, "missing repositories time tags"},
		{"tablet", "classic", 800, window{width: 820, height: 1100, touch: true}, "missing repositories time tags"},
		{"stopped", "stopped", 3000, window{width: 1000, height: 900}, "missing repositories time tags"},
		{"small", "night", 12, desk, "missing repositories time tags"},
		{"quiet", "quiet", 12, desk, "repositories time tags"},
		{"chosen", "chosen", 400, desk, "repositories time tags"},
		{"verification", "verification", 2000, desk, "missing repositories tags"},
		{"verification-phone", "verification", 2000, phone, "missing repositories tags"},
		{"verified", "verified", 300, window{width: 1280, height: 900, dark: true}, "repositories tags"},
		{"barred", "barred", 12, desk, ""},
		{"hostile", "hostile", 60, desk, "missing repositories time tags"},
		{"hostile-phone", "hostile", 60, phone, "missing repositories time tags"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := open(t, sample(t, test.story, test.tags), test.window)
			if parts := value[[]string](b, `Array.from(document.querySelectorAll("main > section"), (part) => part.id)`); strings.Join(parts, " ") != test.parts {
				t.Errorf("the page has the parts %q, want %q", parts, test.parts)
			}
			expect(b, fits, true)
			b.picture(test.name)
			for _, part := range strings.Fields(test.parts) {
				b.run(fmt.Sprintf(`document.getElementById(%q).scrollIntoView()`, part))
				b.took("")
				b.picture(test.name + "-" + part)
			}
			expect(b, fits, true)
			expect(b, `getComputedStyle(document.body).backgroundColor.match(/\d+/)[0] < 128`, test.window.dark)
			if texts := value[[]string](b, faint); len(texts) > 0 {
				t.Errorf("too little contrast:\n%s", strings.Join(texts, "\n"))
			}
			if test.window.touch {
				if controls := value[[]string](b, narrow); len(controls) > 0 {
					t.Errorf("too small for a finger:\n%s", strings.Join(controls, "\n"))
				}
			}
			if strings.HasSuffix(test.parts, "tags") {
				b.run(`document.querySelector("#rows .row:not([hidden]) button").click()`)
				b.took("")
				b.picture(test.name + "-detail")
				expect(b, fits, true)
			}
			b.quiet()
		})
	}
}

// Names from registries have no effect other than being displayed.
func TestHostileNames(t *testing.T) {
	b := open(t, sample(t, "hostile", 60), desk)
	b.run(`document.getElementById("tags").scrollIntoView()`)
	title := value[string](b, `document.title`)
	for _, words := range []string{"script", "onerror", "onfocus", "__proto__", "constructor", "$" + "{document"} {
		b.run(filterBy(words))
		b.took("")
		if rows := value[int](b, seen+".length"); rows == 0 {
			t.Errorf("no tag is found by %q", words)
		}
		b.run(`document.querySelector("#rows .row:not([hidden]) button").click()`)
		expect(b, `document.getElementById("detail-name").textContent === ""`, false)
		b.run(`document.getElementById("detail").close()`)
	}
	b.run(filterBy(""))
	expect(b, `document.title`, title)
	expect(b, `document.querySelectorAll("main img, main script, [onerror], [onfocus], a[href^=javascript]").length`, 0)
	// Control characters and characters that reverse the text direction are not displayed.
	expect(b, `/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/.test(document.body.innerText)`, false)
	b.quiet()
}

// Without JavaScript, the page has the summary, everything that did not arrive, and no controls that do not work.
func TestWithoutScript(t *testing.T) {
	b := open(t, sample(t, "night", 1500), window{width: 1280, height: 900, noScript: true})
	b.do(
		chromedp.WaitVisible(chromedp.CSS("#missing")),
		chromedp.WaitVisible(chromedp.CSS(".repositories tbody tr:last-child")),
		chromedp.WaitVisible(chromedp.CSS("noscript p")),
		chromedp.WaitNotVisible(chromedp.CSS("#time")),
		chromedp.WaitNotVisible(chromedp.CSS("#tags")),
		chromedp.WaitNotVisible(chromedp.CSS("nav a[href='#tags']")),
		chromedp.WaitNotPresent(chromedp.CSS(".repositories a")),
	)
	b.picture("without-script")
	b.quiet()
}
