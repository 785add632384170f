package report

import (
	"cmp"
	"strings"
)

// naturally compares names in natural order: numbers in them compare by value, so that 1.10 comes after 1.9.
func naturally(a, b string) int {
	restA, restB := a, b
	for restA != "" && restB != "" {
		partA, partB := leading(restA), leading(restB)
		if order := compareParts(partA, partB); order != 0 {
			return order
		}
		restA, restB = restA[len(partA):], restB[len(partB):]
	}
	return cmp.Or(cmp.Compare(len(restA), len(restB)), cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// leading returns the number that a text begins with, or else its first byte.
func leading(text string) string {
	n := 0
	for n < len(text) && isDigit(text[n]) {
		n++
	}
	return text[:max(1, n)]
}

// compareParts compares numbers of any length by value, and everything else as text.
func compareParts(a, b string) int {
	if !isDigit(a[0]) || !isDigit(b[0]) {
		return strings.Compare(a, b)
	}
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }
