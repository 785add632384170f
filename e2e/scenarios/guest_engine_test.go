package scenarios

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/proxy"
)

// If the engine is killed while a user's tag is parked, the run ends without putting it back. The next run does, after the
// engine has been started again.
func TestGuestOfKilledEngine(t *testing.T) {
	t.Parallel()
	for _, kind := range engine.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := livedOn(t, ownEngine(t, kind, engine.Options{}))
			ctx, interrupt := context.WithTimeout(t.Context(), rowLimit)
			defer interrupt()
			var once sync.Once
			outcome, err := program.Run(ctx, append(s.Env(), s.through(t, func(w http.ResponseWriter, r *http.Request, engine http.Handler) {
				call := proxy.CallOf(r)
				if call.Verb == proxy.Push && strings.Contains(call.Ref, "docker-manifest") {
					once.Do(func() {
						s.Engine.Kill()
						interrupt()
					})
				}
				engine.ServeHTTP(w, r)
			})))
			if err != nil {
				t.Fatal(err)
			}
			expectExit(t, outcome, 128+int(syscall.SIGTERM))
			s.expectNoSecrets(t, outcome)
			if err := s.Engine.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if held := s.holdings(t); !strings.Contains(held, "ecr2gitlab.invalid/parked/") {
				t.Errorf("no name is parked:\n%s", held)
			}
			expectExit(t, s.run(t), 0)
			s.expectHoldings(t, s.before)
		})
	}
}
