package gitlab

import (
	"encoding/json"
	"net/http"
)

type registryError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Detail  any    `json:"detail,omitempty"`
}

func writeError(w http.ResponseWriter, status int, code, message string) {
	writeDetailed(w, status, registryError{Code: code, Message: message})
}

func writeDetailed(w http.ResponseWriter, status int, e registryError) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"errors": []registryError{e}}) //nolint:errcheck // the client is gone
}

// codes are the error codes that registries send with a status.
var codes = map[int]string{
	http.StatusUnauthorized:       "UNAUTHORIZED",
	http.StatusForbidden:          "DENIED",
	http.StatusNotFound:           "NAME_UNKNOWN",
	http.StatusTooManyRequests:    "TOOMANYREQUESTS",
	http.StatusServiceUnavailable: "UNAVAILABLE",
}
