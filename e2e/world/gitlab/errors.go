package gitlab

import (
	"encoding/json"
	"fmt"
	"net/http"
)

type registryError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Detail  any    `json:"detail,omitempty"`
}

func writeError(w http.ResponseWriter, status int, code, message string) {
	writeErrors(w, status, registryError{Code: code, Message: message})
}

func writeErrors(w http.ResponseWriter, status int, errors ...registryError) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"errors": errors}) //nolint:errcheck // the client is gone
}

// writePage writes an HTML page, as a proxy in front of GitLab does.
func writePage(w http.ResponseWriter, status int, title, body string) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<html>\r\n<head><title>%s</title></head>\r\n<body>\r\n%s\r\n</body>\r\n</html>\r\n", title, body)
}

// codes maps HTTP statuses to registry error codes.
var codes = map[int]string{
	http.StatusUnauthorized:       "UNAUTHORIZED",
	http.StatusForbidden:          "DENIED",
	http.StatusNotFound:           "NAME_UNKNOWN",
	http.StatusTooManyRequests:    "TOOMANYREQUESTS",
	http.StatusServiceUnavailable: "UNAVAILABLE",
}
