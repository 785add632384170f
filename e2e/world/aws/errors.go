package aws

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
)

// apiError is an error response of STS or ECR.
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// fail returns an ECR error. Nearly all of them have status 400.
func fail(code, format string, args ...any) error {
	return &apiError{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// invalid returns ECR's error for a parameter that violates a rule of the API model.
func invalid(parameter, constraint string) error {
	return fail("InvalidParameterException", "Invalid parameter at '%s' failed to satisfy constraint: '%s'", parameter, constraint)
}

func mustMatch(parameter, pattern string) error {
	return invalid(parameter, "must satisfy regular expression '"+pattern+"'")
}

func asAPIError(err error) *apiError {
	var e *apiError
	if errors.As(err, &e) {
		return e
	}
	return &apiError{http.StatusInternalServerError, "ServerException", err.Error()}
}

// writeJSON writes a response in the JSON 1.1 protocol of ECR.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) //nolint:errcheck // the client is gone
}

func writeJSONError(w http.ResponseWriter, err error) {
	e := asAPIError(err)
	writeJSON(w, e.status, map[string]string{"__type": e.code, "message": e.message})
}

// writeXML writes a response in the query protocol of STS.
func writeXML(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	xml.NewEncoder(w).Encode(body) //nolint:errcheck // the client is gone
}

type xmlError struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

func writeXMLError(w http.ResponseWriter, err error) {
	e := asAPIError(err)
	writeXML(w, e.status, xmlError{
		Type: "Sender", Code: e.code, Message: e.message, RequestID: w.Header().Get(requestIDHeader),
	})
}

// writeRegistryError writes a registry's error response.
func writeRegistryError(w http.ResponseWriter, status int, code, message string) {
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string][]entry{"errors": {{code, message}}}) //nolint:errcheck // the client is gone
}
