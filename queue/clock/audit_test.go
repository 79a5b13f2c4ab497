package clock_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// mayAsk are the files that may ask for time.Now, below queue, pool and webui.
// All else takes the time from the injected clock.
func mayAsk() map[string]string {
	const (
		intervals = "how long something takes or has rested: the monotonic part only"
		deadlines = "when a socket's patience ends"
		none      = "what a test or a tool without a clock gets"
		log       = "how often a line is logged"
	)
	return map[string]string{
		"queue/store.go": none, "queue/inbox/store.go": none, "queue/sqlite/sqlite.go": none + "; " + intervals,
		"queue/release.go": intervals, "queue/redate.go": intervals, "queue/held.go": intervals, "queue/wake.go": intervals, "queue/keep.go": intervals, "queue/codes.go": intervals, "queue/sweep.go": intervals, "queue/inbox/retention.go": intervals,
		"queue/sqlite/salvage_load.go": log, "queue/sqlite/renew.go": intervals, "queue/sqlite/reserve.go": intervals, "queue/sqlite/writer.go": intervals, "queue/sqlite/lane.go": intervals, "queue/sqlite/boot.go": intervals, "queue/sqlite/migrate.go": intervals,
		"queue/webhook/outbox.go": intervals, "queue/webhook/post.go": intervals,
		"webui/api_modems.go": deadlines, "webui/page_modem.go": deadlines, "webui/page_sim.go": deadlines, "webui/events.go": deadlines,
		"webui/page_care.go": deadlines, "webui/api_credit.go": deadlines, "webui/page_sim_pool.go": deadlines, "webui/api_ussd.go": intervals + "; " + deadlines, "webui/gate.go": intervals,
		"pool/line.go": intervals, "pool/pool.go": intervals, "pool/sim.go": intervals, "pool/health.go": intervals,
		"pool/evidence.go": intervals, "pool/dispatch.go": intervals, "pool/persist.go": log,
		"pool/ahead.go": intervals, "pool/choice.go": intervals, "pool/offer.go": intervals, "pool/limit.go": intervals, "pool/pace.go": intervals,
		"pool/canary_keep.go": intervals, "pool/canary_suspect.go": intervals, "pool/forecast_gather.go": intervals,
		"pool/credit.go": intervals, "pool/credit_ask.go": intervals, "pool/credit_refusal.go": intervals, "pool/credit_time.go": intervals,
		"queue/bucket_move.go": intervals, "queue/quote_backlog.go": intervals,
	}
}

// TestTimeNowIsAskedOnlyWhereListed: a wall clock beside the injected one would
// believe what nobody has confirmed.
func TestTimeNowIsAskedOnlyWhereListed(t *testing.T) {
	listed, asked, files := mayAsk(), map[string]bool{}, 0
	for _, root := range []string{"queue", "pool", "webui"} {
		require.NoError(t, filepath.WalkDir(filepath.Join("..", "..", root), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files++
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(filepath.Join("..", ".."), path)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && isNow(s) {
					asked[filepath.ToSlash(name)] = true
				}
				// Whatever is made of it here is a time of day.
				if s, ok := n.(*ast.SelectorExpr); ok && wallOnly(s) && name != filepath.Join("pool", "persist.go") {
					t.Errorf("%s: the time of day, and not by the injected clock", set.Position(s.Pos()))
				}
				return true
			})
			return nil
		}))
	}
	require.Greater(t, files, 150)
	for name := range asked {
		require.Contains(t, listed, name, "%s asks for time.Now: take the time from the injected clock, or list why not", name)
	}
}

func isNow(s *ast.SelectorExpr) bool {
	p, ok := s.X.(*ast.Ident)
	return ok && p.Name == "time" && s.Sel.Name == "Now"
}

// wallOnly: time.Now().Unix() and its like.
func wallOnly(s *ast.SelectorExpr) bool {
	switch s.Sel.Name {
	case "Unix", "UnixMilli", "UnixMicro", "UnixNano", "UTC", "Local", "In", "Format", "Truncate", "Round":
	default:
		return false
	}
	call, ok := s.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	now, ok := call.Fun.(*ast.SelectorExpr)
	return ok && isNow(now)
}
