package proxy

import (
	"bytes"
	"context"
	"net/http"
)

// Lines forwards a call and edits its response line by line: the client gets what edit returns, including line ends. If
// edit returns false, the response ends there as if it were complete, and the engine is told to stop.
func Lines(engine http.Handler, edit func(line []byte) (answer []byte, more bool)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, stop := context.WithCancel(r.Context())
		defer stop()
		editor := &lineWriter{ResponseWriter: w, edit: edit, stop: stop}
		defer editor.end()
		engine.ServeHTTP(editor, r.WithContext(ctx))
	})
}

// Replace forwards a call and replaces a text in its response, wherever it occurs within one line.
func Replace(engine http.Handler, old, new string) http.Handler {
	return Lines(engine, func(line []byte) ([]byte, bool) {
		return bytes.ReplaceAll(line, []byte(old), []byte(new)), true
	})
}

type lineWriter struct {
	http.ResponseWriter
	edit    func([]byte) ([]byte, bool)
	stop    func()
	rest    []byte // of an incomplete line
	stopped bool
}

// Unwrap lets http.ResponseController flush.
func (w *lineWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader removes the length, which may change.
func (w *lineWriter) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(status)
}

func (w *lineWriter) Write(data []byte) (int, error) {
	w.rest = append(w.rest, data...)
	for !w.stopped {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			break
		}
		w.rest = rest
		if err := w.line(append(bytes.Clone(line), '\n')); err != nil {
			return 0, err
		}
	}
	return len(data), nil
}

func (w *lineWriter) line(line []byte) error {
	answer, more := w.edit(line)
	_, err := w.ResponseWriter.Write(answer)
	if !more {
		w.stopped = true
		w.stop()
	}
	return err
}

// end sends an incomplete last line, and hides that a response was cut off.
func (w *lineWriter) end() {
	if !w.stopped {
		if len(w.rest) > 0 {
			_ = w.line(w.rest) // an error means that the client has disconnected
		}
		return
	}
	// The engine's handler panics when its request is cancelled below it.
	if trouble := recover(); trouble != nil && trouble != http.ErrAbortHandler { //nolint:errorlint // a panic's value
		panic(trouble)
	}
}
