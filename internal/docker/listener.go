package docker

// Listener hears of the progress of a call. It may be called concurrently; nil: nobody wants to know.
type Listener func(Progress)
