package queue

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asksForNow finds SQL that asks SQLite for the time of day: the date functions
// without a time value or with 'now' (https://sqlite.org/lang_datefunc.html), and
// CURRENT_TIMESTAMP and its like. libc's clock is not the injected one.
var asksForNow = regexp.MustCompile(`(?i)'now'|\bcurrent_(time|date|timestamp)\b|\b(date|time|datetime|julianday|unixepoch)\s*\(\s*\)|\bstrftime\s*\(\s*'[^']*'\s*\)`)

// TestNoSQLAsksForNow reads every string of the program and every migration.
func TestNoSQLAsksForNow(t *testing.T) {
	for _, sql := range []string{"SELECT 1 WHERE x > unixepoch('now')", "DEFAULT CURRENT_TIMESTAMP", "SELECT datetime()", "strftime('%s')"} {
		require.Regexp(t, asksForNow, sql)
	}
	files, found := 0, []string{}
	require.NoError(t, filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch name := e.Name(); {
		case e.IsDir() && (name == "node_modules" || name == "testdata" || len(name) > 1 && name[0] == '.' && name != ".."):
			return fs.SkipDir
		case strings.HasSuffix(name, ".sql"):
			files++
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if asksForNow.Match(text) {
				found = append(found, path)
			}
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			files++
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				if text, err := strconv.Unquote(lit.Value); err == nil && asksForNow.MatchString(text) {
					found = append(found, set.Position(lit.Pos()).String()+": "+text)
				}
				return true
			})
		}
		return nil
	}))
	require.Greater(t, files, 100, "the program was not found")
	require.Empty(t, found, "times come from the injected clock")
}

// TestTheStoreLivesByItsOwnClock: whatever day the machine believes it is, a
// message lives and dies by the clock that the store was given.
func TestTheStoreLivesByItsOwnClock(t *testing.T) {
	for _, year := range []int{1971, 2001, 2038, 2145} {
		b := newBox(t)
		b.clock.now = time.Date(year, 6, 1, 12, 0, 0, 0, time.UTC)
		l := line(1)
		m := b.submit(Request{ValidFor: time.Minute})
		late := b.submit(Request{ValidFor: 2 * time.Minute, SIM: line(2).ICCID})
		late2 := b.submit(Request{SendAt: b.clock.Now().Add(time.Hour)})
		b.wake()
		require.Equal(t, m.ID, b.claimed(l).Message.ID, year)
		a, err := b.Gate(context.Background(), l, m.Seq, 1)
		require.NoError(t, err, year)
		b.outcome(a, accepted(3))
		b.report(l, m.To, 3, stDelivered, b.clock.Now())
		require.Equal(t, Delivered, b.get(m.ID).State, year)
		require.Equal(t, b.clock.Now(), b.get(m.ID).DeliveredAt)

		require.NotNil(t, b.claimed(line(2)))
		b.clock.forward(2 * time.Minute)
		_, err = b.Gate(context.Background(), line(2), late.Seq, 1)
		require.ErrorIs(t, err, ErrNotClaimed, "its validity is over in %d", year)
		b.wake()
		require.Equal(t, Expired, b.get(late.ID).State, year)
		require.Equal(t, Scheduled, b.get(late2.ID).State, year)
		b.clock.forward(time.Hour)
		b.wake()
		require.Equal(t, Queued, b.get(late2.ID).State, year)
	}
}
