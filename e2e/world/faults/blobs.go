package faults

import (
	"context"
	"io"
	"net/http"
	"time"
)

// CutReads closes the connection of the first blob downloads that reach the given number of bytes.
func CutReads(times int, after int64) *Fault {
	return tripReads(times, after, func(*http.Request) { panic(http.ErrAbortHandler) })
}

// StallReads stalls the first blob downloads that reach the given number of bytes, until the client disconnects.
func StallReads(times int, after int64) *Fault { return tripReads(times, after, untilGone) }

// tripReads calls trip for the first blob downloads that reach the given number of bytes, and ends them.
func tripReads(times int, after int64, trip func(*http.Request)) *Fault {
	f := &Fault{concerns: BlobRead}
	strikes := f.atMost(times)
	f.serve = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&tripWriter{w, after, func() {
			if strikes() {
				trip(r)
			}
		}}, r)
	}
	return f
}

// CutWrites closes the connection of the first blob uploads that reach the given number of bytes.
func CutWrites(times int, after int64) *Fault {
	f := &Fault{concerns: BlobWrite}
	strikes := f.atMost(times)
	f.serve = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.Body = &tripReader{r.Body, after, func() {
			if strikes() {
				panic(http.ErrAbortHandler)
			}
		}}
		next.ServeHTTP(w, r)
	}
	return f
}

// Hang does not answer the first matching requests until the client disconnects. It reads their bodies, because a
// server only notices that a client has disconnected once it has read everything that was sent.
func Hang(concerns Match, times int) *Fault { return HangFor(concerns, times, longerThanAnyTest) }

const longerThanAnyTest = 24 * time.Hour

// HangFor is like Hang, but closes the connection after a while, as proxies in front of registries do.
func HangFor(concerns Match, times int, patience time.Duration) *Fault {
	f := &Fault{concerns: concerns}
	strikes := f.atMost(times)
	f.serve = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strikes() {
			_, _ = io.Copy(io.Discard, r.Body) // an error means that the client has disconnected
			ctx, cancel := context.WithTimeout(r.Context(), patience)
			defer cancel()
			untilGone(r.WithContext(ctx))
		}
		next.ServeHTTP(w, r)
	}
	return f
}

// GoAway ends the connection after each of the first responses, in an orderly way: with GOAWAY over HTTP/2, and with
// "Connection: close" otherwise.
func GoAway(concerns Match, times int) *Fault {
	f := &Fault{concerns: concerns}
	strikes := f.atMost(times)
	f.serve = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strikes() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	}
	return f
}

func untilGone(r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// tripWriter calls trip after the first left bytes, which the client has received by then.
type tripWriter struct {
	http.ResponseWriter
	left int64 // less than 0: trip was called
	trip func()
}

// Unwrap gives http.ResponseController the connection behind it.
func (w *tripWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *tripWriter) Write(data []byte) (int, error) {
	if w.left < 0 {
		return w.ResponseWriter.Write(data)
	}
	if int64(len(data)) <= w.left {
		w.left -= int64(len(data))
		return w.ResponseWriter.Write(data)
	}
	n, err := w.ResponseWriter.Write(data[:w.left])
	if err == nil {
		err = http.NewResponseController(w.ResponseWriter).Flush()
	}
	if err != nil {
		return n, err
	}
	w.left = -1
	w.trip()
	rest, err := w.ResponseWriter.Write(data[n:])
	return n + rest, err
}

// tripReader calls trip after the first left bytes have been read.
type tripReader struct {
	io.ReadCloser
	left int64 // less than 0: trip was called
	trip func()
}

func (r *tripReader) Read(data []byte) (int, error) {
	if r.left == 0 {
		r.left = -1
		r.trip()
	}
	if r.left < 0 {
		return r.ReadCloser.Read(data)
	}
	n, err := r.ReadCloser.Read(data[:min(int64(len(data)), r.left)])
	r.left -= int64(n)
	return n, err
}
