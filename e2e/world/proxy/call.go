package proxy

import (
	"net/http"
	"regexp"
	"strings"
)

// Verb is the operation that a call requests of the engine.
type Verb string

// The calls that a migration makes. All others are Other.
const (
	Info         Verb = "info"
	Login        Verb = "login"
	Distribution Verb = "distribution" // looks up a reference at the registry
	Pull         Verb = "pull"
	Load         Verb = "load" // has no reference
	Inspect      Verb = "inspect"
	Tag          Verb = "tag"
	Push         Verb = "push"
	Remove       Verb = "remove"
	Other        Verb = "other"
)

// Call is a call of the engine's API, read from its URL.
type Call struct {
	Verb Verb
	Ref  string // complete; empty if the call is not about an image
}

// paths matches the verbs, after the version prefix has been removed.
var paths = []struct {
	verb    Verb
	method  string
	pattern *regexp.Regexp
}{
	{Info, http.MethodGet, regexp.MustCompile(`^/info$`)},
	{Login, http.MethodPost, regexp.MustCompile(`^/auth$`)},
	{Distribution, http.MethodGet, regexp.MustCompile(`^/distribution/(.+)/json$`)},
	{Pull, http.MethodPost, regexp.MustCompile(`^/images/create$`)},
	{Load, http.MethodPost, regexp.MustCompile(`^/images/load$`)},
	{Inspect, http.MethodGet, regexp.MustCompile(`^/images/(.+)/json$`)},
	{Tag, http.MethodPost, regexp.MustCompile(`^/images/(.+)/tag$`)},
	{Push, http.MethodPost, regexp.MustCompile(`^/images/(.+)/push$`)},
	{Remove, http.MethodDelete, regexp.MustCompile(`^/images/(.+)$`)},
}

var version = regexp.MustCompile(`^/v[0-9.]+/`)

// CallOf parses the call from the request.
func CallOf(r *http.Request) Call {
	path := version.ReplaceAllString(r.URL.Path, "/")
	for _, p := range paths {
		match := p.pattern.FindStringSubmatch(path)
		if match == nil || r.Method != p.method {
			continue
		}
		call := Call{Verb: p.verb}
		if len(match) > 1 {
			call.Ref = match[1]
		}
		return call.complete(r)
	}
	return Call{Verb: Other}
}

// complete adds the part of the reference that is in the query.
func (c Call) complete(r *http.Request) Call {
	query := r.URL.Query()
	tag := query.Get("tag")
	switch {
	case c.Verb == Pull:
		c.Ref = query.Get("fromImage")
	case c.Verb != Push:
		return c
	}
	switch {
	case strings.Contains(tag, ":"):
		c.Ref += "@" + tag
	case tag != "":
		c.Ref += ":" + tag
	}
	return c
}
