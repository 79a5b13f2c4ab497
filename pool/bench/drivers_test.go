package bench

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// driver is a program that sends what is queued.
type driver struct {
	name string
	// needs are commands that must be there.
	needs []string
	// prepare queues s.messages before time counts; nil: nothing to prepare.
	prepare func(b *testing.B, s *site)
	// start starts it; the commands lead sessions of their own.
	start func(b *testing.B, s *site) []*exec.Cmd
}

var drivers = []driver{
	{name: "perfect", start: startPerfect},
	{name: "recado", prepare: prepareRecado, start: startRecado},
	{name: "smstools", needs: []string{"smsd"}, prepare: prepareSmstools, start: startSmstools},
	{name: "gammu-smsd", needs: []string{"gammu-smsd"}, prepare: prepareGammu, start: startGammu},
	{name: "kannel", needs: []string{"bearerbox", "smsbox"}, start: startKannel},
}

// words of an environment variable.
func words(variable, otherwise string) []string {
	return strings.Fields(cmp.Or(os.Getenv(variable), otherwise))
}

// scale is RECADO_BENCH_SCALE.
func scale(b *testing.B) float64 {
	b.Helper()
	v, err := strconv.ParseFloat(cmp.Or(os.Getenv("RECADO_BENCH_SCALE"), "1"), 64)
	require.NoError(b, err, "RECADO_BENCH_SCALE")
	return v
}

// BenchmarkDrivers is the whole table: every driver with every number of modems, one
// driver after the other so that the same machine is compared.
func BenchmarkDrivers(b *testing.B) {
	// Daemons are in sbin, which is not in everybody's path.
	b.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	var chosen []driver
	for _, name := range words("RECADO_BENCH_DRIVERS", "perfect recado") {
		i := slices.IndexFunc(drivers, func(d driver) bool { return d.name == name })
		require.GreaterOrEqual(b, i, 0, "there is no driver %s", name)
		for _, command := range drivers[i].needs {
			_, err := exec.LookPath(command)
			require.NoError(b, err, "%s", name)
		}
		chosen = append(chosen, drivers[i])
	}
	var all []figures
	for _, count := range words("RECADO_BENCH_MODEMS", "1 4 8 16 32") {
		modems, err := strconv.Atoi(count)
		require.NoError(b, err, "RECADO_BENCH_MODEMS")
		for _, d := range words("RECADO_BENCH_LATENCIES", "2s 200ms") {
			latency, err := time.ParseDuration(d)
			require.NoError(b, err, "RECADO_BENCH_LATENCIES")
			var perfect float64
			for _, driver := range chosen {
				b.Run(fmt.Sprintf("modems=%d/latency=%s/%s", modems, latency, driver.name), func(b *testing.B) {
					var f figures
					for range b.N { // each run takes its time: -benchtime 1x
						f = run(b, driver, modems, latency)
					}
					if driver.name == "perfect" {
						perfect = f.used
					}
					if perfect > 0 {
						f.of = f.used / perfect
					}
					f.report(b)
					all = append(all, f)
				})
			}
		}
	}
	keep(b, all)
}

// run lets a driver send for a while.
func run(b *testing.B, d driver, modems int, latency time.Duration) figures {
	s := newSite(b, modems, latency)
	// Long enough for a handful of submissions at 2.0 s and some hundred at 0.2 s.
	window := time.Duration(scale(b) * float64(min(24*time.Second, max(12*latency, 12*time.Second))))
	const settle = 4 * time.Second
	s.messages = modems * int((window+settle+30*time.Second)/latency)
	if d.prepare != nil {
		d.prepare(b, s)
	}
	began := time.Now()
	commands := d.start(b, s)
	var leaders []int
	for _, c := range commands {
		leaders = append(leaders, c.Process.Pid)
	}
	// The measuring begins when all modems have something to do, or will not have.
	patience := time.Now().Add(30*time.Second + latency)
	for s.timings.more(b); s.timings.busyModems() < modems && time.Now().Before(patience); s.timings.more(b) {
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(settle)
	begin, before := time.Now(), used(leaders, false)
	var most usage
	for until := begin.Add(window); time.Now().Before(until); {
		time.Sleep(min(2*time.Second, time.Until(until)))
		u := used(leaders, true)
		most.rss, most.pss = max(most.rss, u.rss), max(most.pss, u.pss)
	}
	end, after := time.Now(), used(leaders, false)
	// What was in flight at the end has its answer by then.
	time.Sleep(latency + time.Second)
	s.timings.more(b)
	for _, c := range commands {
		stop(c)
	}
	names := make([]string, modems)
	for i := range names {
		names[i] = fmt.Sprintf("modem%d", i)
	}
	f := measure(names, s.timings.all, latency, begin, end)
	f.driver, f.cpu, f.rss, f.pss = d.name, after.cpu-before.cpu, most.rss, most.pss
	for _, x := range s.timings.all {
		if first := x.CtrlZ.Sub(began); f.first == 0 || first < f.first {
			f.first = first
		}
	}
	if keep := os.Getenv("RECADO_BENCH_KEEP"); keep != "" {
		_ = exec.Command("cp", "-r", s.folder, filepath.Join(keep, d.name)).Run()
	}
	return f
}

// report gives the figures to go test -bench.
func (f figures) report(b *testing.B) {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(100*f.used, "%used")
	if f.of > 0 {
		b.ReportMetric(100*f.of, "%perfect")
	}
	b.ReportMetric(ms(f.toCommand.p50), "toCMGS-ms")
	b.ReportMetric(ms(f.toCtrlZ.p50), "toCtrlZ-ms")
	b.ReportMetric(ms(f.toCtrlZ.p99), "toCtrlZ-p99-ms")
	b.ReportMetric(f.commands, "commands/msg")
	b.ReportMetric(f.octets, "octets/msg")
	b.ReportMetric(f.perThousand(), "CPU-s/1000")
	b.ReportMetric(float64(f.rss)/(1<<20), "RSS-MB")
	b.ReportMetric(float64(f.pss)/(1<<20), "PSS-MB")
	b.ReportMetric(f.first.Seconds(), "start-s")
	b.ReportMetric(f.jain, "jain")
}

func (f figures) perThousand() float64 { return f.cpu.Seconds() * 1000 / float64(max(f.messages, 1)) }

// row of the table.
func (f figures) row() string {
	ms := func(s spread) string {
		return fmt.Sprintf("%.1f / %.1f", float64(s.p50.Microseconds())/1000, float64(s.p99.Microseconds())/1000)
	}
	of := "–"
	if f.of > 0 {
		of = fmt.Sprintf("%.1f %%", 100*f.of)
	}
	return fmt.Sprintf("| %d | %.1f s | %s | %.1f %% | %s | %s | %s | %.2f | %.0f | %.2f | %.1f | %.1f | %.2f s | %.4f |",
		f.modems, f.latency.Seconds(), f.driver, 100*f.used, of, ms(f.toCommand), ms(f.toCtrlZ), f.commands, f.octets,
		f.perThousand(), float64(f.rss)/(1<<20), float64(f.pss)/(1<<20), f.first.Seconds(), f.jain)
}

const heading = `| modems | latency | driver | used | of perfect | answer to AT+CMGS, ms (p50 / p99) | answer to Ctrl-Z, ms | commands | octets | CPU-s per 1,000 | RSS, MB | PSS, MB | start to first | Jain |
| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |`

// keep writes the table between the marks of the file that RECADO_BENCH_TABLE names, or
// into a new one.
func keep(b *testing.B, all []figures) {
	b.Helper()
	name := os.Getenv("RECADO_BENCH_TABLE")
	if name == "" || len(all) == 0 {
		return
	}
	slices.SortStableFunc(all, func(x, y figures) int {
		return cmp.Or(cmp.Compare(y.latency, x.latency), cmp.Compare(x.modems, y.modems))
	})
	var table strings.Builder
	table.WriteString(heading + "\n")
	for _, f := range all {
		table.WriteString(f.row() + "\n")
	}
	require.NoError(b, renew(name, "drivers", table.String()))
}

// renew puts text between the marks of that name in a file, behind all else when the
// file has none.
func renew(file, name, text string) error {
	old, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
	before, rest, found := strings.Cut(string(old), begin)
	_, after, closed := strings.Cut(rest, end)
	if found && !closed {
		return fmt.Errorf("%s: %q has no end", file, strings.TrimSpace(begin))
	}
	return os.WriteFile(file, []byte(before+begin+text+end+after), 0o644)
}

func TestRenew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.md")
	require.NoError(t, os.WriteFile(file, []byte("Before.\n<!-- x -->\nold\n<!-- end of x -->\nAfter.\n"), 0o644))
	require.NoError(t, renew(file, "x", "new\n"))
	require.NoError(t, renew(file, "y", "other\n"))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "Before.\n<!-- x -->\nnew\n<!-- end of x -->\nAfter.\n<!-- y -->\nother\n<!-- end of y -->\n", string(text))
}
