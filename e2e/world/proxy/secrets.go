package proxy

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Secrets collects what must not be shown: the passwords, tokens and temporary keys in requests to the registries and
// the APIs, and the command lines of the processes that run at that time. Its zero value is ready to use.
type Secrets struct {
	mu       sync.Mutex
	kinds    map[string]string // by secret
	commands map[string]bool
	looked   time.Time // when the processes were last checked
}

// lookInterval is the minimum time between two checks of the processes, however many requests there are. A program
// worth hiding secrets from keeps its command line for longer than that: reading all of /proc for each of thousands of
// requests takes more processor time than the engine does.
const lookInterval = 100 * time.Millisecond

// Add adds a secret; the first kind is kept. It ignores values shorter than eight characters, which would be found
// anywhere.
func (s *Secrets) Add(kind, secret string) {
	if len(secret) < 8 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kinds == nil {
		s.kinds = map[string]string{}
	}
	if _, known := s.kinds[secret]; !known {
		s.kinds[secret] = kind
	}
}

// Wrap observes the requests to a server.
func (s *Secrets) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hear(r)
		if s.due(time.Now()) {
			s.look()
		}
		if r.URL.Path != "/" {
			next.ServeHTTP(w, r)
			return
		}
		answer := &copyWriter{ResponseWriter: w} // responses of AWS's APIs, which have one path
		next.ServeHTTP(answer, r)
		s.read(answer.copy.String())
	})
}

// hear collects the secrets in a request's header and query.
func (s *Secrets) hear(r *http.Request) {
	s.Add("session token", r.Header.Get("X-Amz-Security-Token"))
	query := r.URL.Query() // of a signed URL
	for _, name := range []string{"X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Credential", "X-Goog-Signature"} {
		s.Add(name, query.Get(name))
		s.Add(name, url.QueryEscape(query.Get(name)))
	}
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch scheme {
	case "Bearer":
		s.Add("registry token of GitLab", value)
	case "Basic":
		s.Add("encoded password", value)
		decoded, _ := base64.StdEncoding.DecodeString(value) // an error means that it is not a password
		_, password, _ := strings.Cut(string(decoded), ":")
		s.Add("password", password)
	}
}

var answered = regexp.MustCompile(`<(SecretAccessKey|SessionToken)>([^<]+)<|"(authorizationToken)":"([^"]+)"`)

// read collects the secrets in a response from AWS.
func (s *Secrets) read(answer string) {
	for _, match := range answered.FindAllStringSubmatch(answer, -1) {
		s.Add(match[1]+match[3], match[2]+match[4])
	}
}

// due reports whether the processes should be checked, which the caller must then do.
func (s *Secrets) due(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.looked) < lookInterval {
		return false
	}
	s.looked = now
	return true
}

// look reads the command lines of all processes.
func (s *Secrets) look() {
	proc, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer proc.Close()                //nolint:errcheck // only read
	names, _ := proc.Readdirnames(-1) // in part is better than not at all
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		line, err := os.ReadFile("/proc/" + name + "/cmdline") // without a look into the folder, as filepath.Glob would have
		if err != nil {
			continue // the process has ended
		}
		s.mu.Lock()
		if s.commands == nil {
			s.commands = map[string]bool{}
		}
		s.commands[string(bytes.ReplaceAll(line, []byte{0}, []byte(" ")))] = true
		s.mu.Unlock()
	}
}

// Shown returns the kinds of secrets that the text contains.
func (s *Secrets) Shown(text string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kinds []string
	for secret, kind := range s.kinds {
		if strings.Contains(text, secret) {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// Kinds returns the kinds of the known secrets.
func (s *Secrets) Kinds() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kinds []string
	for _, kind := range s.kinds {
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// Commands returns the command lines of the processes that were running when requests were observed, checked now and at
// most once per lookInterval.
func (s *Secrets) Commands() []string {
	s.look()
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for line := range s.commands {
		lines = append(lines, line)
	}
	return lines
}

// copyWriter keeps what it writes.
type copyWriter struct {
	http.ResponseWriter
	copy strings.Builder
}

func (w *copyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *copyWriter) Write(data []byte) (int, error) {
	w.copy.Write(data)
	return w.ResponseWriter.Write(data)
}
