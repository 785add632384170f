package aws

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
)

// apiError is an answer of STS or ECR that is not success.
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// fail is an error of ECR, which answers nearly everything with status 400.
func fail(code, format string, args ...any) error {
	return &apiError{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// invalid is ECR's answer to a parameter that breaks a rule of its model.
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

// writeJSON answers in the JSON 1.1 protocol of ECR.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) //nolint:errcheck // the client is gone
}

func writeJSONError(w http.ResponseWriter, err error) {
	e := asAPIError(err)
	writeJSON(w, e.status, map[string]string{"__type": e.code, "message": e.message})
}

// writeXML answers in the query protocol of STS.
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

// writeRegistryError answers as a registry does.
func writeRegistryError(w http.ResponseWriter, status int, code, message string) {
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string][]entry{"errors": {{code, message}}}) //nolint:errcheck // the client is gone
}
