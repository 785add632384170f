// Package terminal provides terminals for tests: a pseudo-terminal, and a screen that records what is displayed.
package terminal

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
)

// Screen emulates the part of a terminal that line-oriented programs use: line ends, carriage returns, and the
// sequences to move up, to clear to the end, and to set colours. It is safe for concurrent use.
type Screen struct {
	Rewraps bool // lines are wrapped again when the width changes, as in most terminals; others truncate them

	mu            sync.Mutex
	columns, rows int
	lines         []line // all lines so far; the last ones are on the screen
	row, column   int    // of the cursor, the row counted from the first line
	rest          []byte // an incomplete sequence
	unknown       []string
}

type line struct {
	text    []byte
	wrapped bool // continued in the next line
}

// NewScreen returns an empty screen.
func NewScreen(columns, rows int, rewraps bool) *Screen {
	return &Screen{Rewraps: rewraps, columns: columns, rows: rows, lines: make([]line, 1)}
}

// Write interprets a program's output. A line end moves to the first column, as with a terminal's driver.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := append(s.rest, p...)
	for len(text) > 0 {
		n := s.take(text)
		if n == 0 {
			break
		}
		text = text[n:]
	}
	s.rest = bytes.Clone(text)
	return len(p), nil
}

// take processes one character or sequence, and returns its length: 0 for an incomplete one.
func (s *Screen) take(text []byte) int {
	switch c := text[0]; {
	case c == '\x1b':
		return s.sequence(text)
	case c == '\r':
		s.column = 0
	case c == '\n':
		s.row, s.column = s.row+1, 0
		s.grow()
	case c >= ' ' && c <= '~':
		s.put(c)
	default:
		s.unknown = append(s.unknown, strconv.QuoteRune(rune(c)))
	}
	return 1
}

func (s *Screen) put(c byte) {
	if s.column == s.columns {
		s.lines[s.row].wrapped = true
		s.row, s.column = s.row+1, 0
		s.grow()
	}
	l := &s.lines[s.row]
	for len(l.text) <= s.column {
		l.text = append(l.text, ' ')
	}
	l.text[s.column] = c
	s.column++
}

func (s *Screen) grow() {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, line{})
	}
}

func (s *Screen) top() int { return max(0, len(s.lines)-s.rows) }

// sequence processes a control sequence.
func (s *Screen) sequence(text []byte) int {
	if len(text) < 2 {
		return 0
	}
	end := 2
	for text[1] == '[' && end < len(text) && (text[end] < '@' || text[end] > '~') {
		end++
	}
	if end == len(text) {
		return 0
	}
	argument := string(text[2:end])
	n, _ := strconv.Atoi(argument)
	switch {
	case text[1] != '[':
		s.unknown = append(s.unknown, strconv.Quote(string(text[:2])))
	case text[end] == 'A':
		s.row = max(s.top(), s.row-max(1, n))
	case text[end] == 'J' && argument == "":
		s.clear()
	case text[end] == 'm':
	default:
		s.unknown = append(s.unknown, strconv.Quote(string(text[:end+1])))
	}
	return end + 1
}

func (s *Screen) clear() {
	top := s.top()
	s.lines = s.lines[:s.row+1]
	s.lines[s.row].text = s.lines[s.row].text[:min(s.column, len(s.lines[s.row].text))]
	s.lines[s.row].wrapped = false
	if s.row > 0 && s.column == 0 {
		s.lines[s.row-1].wrapped = false // the line before does not continue here
	}
	for len(s.lines) < top+s.rows && top > 0 { // the rows below exist, and are empty
		s.lines = append(s.lines, line{})
	}
}

// Resize changes the size, as a user does by dragging the window.
func (s *Screen) Resize(columns, rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := len(s.lines); n > s.row+1 && len(s.lines[n-1].text) == 0; n-- { // nothing below the cursor
		s.lines = s.lines[:n-1]
	}
	s.columns, s.rows = columns, rows
	if s.Rewraps {
		s.rewrap()
		return
	}
	for i := range s.lines {
		s.lines[i].text = s.lines[i].text[:min(columns, len(s.lines[i].text))]
	}
	s.column = min(s.column, columns-1)
}

// rewrap wraps all lines again. The cursor stays at its character.
func (s *Screen) rewrap() {
	var lines []line
	var whole []byte
	row, at := s.row, -1
	for i, l := range s.lines {
		if i == row {
			at = len(whole) + s.column
		}
		whole = append(whole, l.text...)
		if l.wrapped {
			continue
		}
		first := len(lines)
		for len(whole) > s.columns {
			lines = append(lines, line{whole[:s.columns:s.columns], true})
			whole = whole[s.columns:]
		}
		lines = append(lines, line{text: whole})
		if at >= 0 {
			s.row, s.column, at = min(first+at/s.columns, len(lines)-1), at%s.columns, -1
		}
		whole = nil
	}
	s.lines = lines
}

// Lines returns all lines so far, including those that have scrolled away, each unwrapped; without trailing empty ones.
func (s *Screen) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	whole := ""
	for _, l := range s.lines {
		whole += string(l.text)
		if !l.wrapped {
			all = append(all, strings.TrimRight(whole, " "))
			whole = ""
		}
	}
	for len(all) > 0 && all[len(all)-1] == "" {
		all = all[:len(all)-1]
	}
	return all
}

// Visible returns what the screen shows, row by row.
func (s *Screen) Visible() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []string
	for _, l := range s.lines[s.top():] {
		rows = append(rows, strings.TrimRight(string(l.text), " "))
	}
	return rows
}

// Unknown returns the characters and sequences that the screen does not support.
func (s *Screen) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unknown
}
