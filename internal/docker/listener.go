package docker

// Listener receives the progress of a call. It may be called concurrently. A nil Listener is not called.
type Listener func(Progress)
