package proof

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// recado is the program under test; TestMain builds it.
var recado string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	folder, err := os.MkdirTemp("", "recado-proof-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	recado = filepath.Join(folder, "recado")
	args := []string{"build", "-tags", "failpoints", "-o", recado}
	if raceOn {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "recado/cmd/recado")...)
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building the program: %w\n%s", err, out)
	}
	// Nearly all time is waiting: more boxes than processors.
	flag.Parse()
	if err := flag.Set("test.parallel", "5"); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// size is a number from the environment.
func size(t testing.TB, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is no number of anything", variable, text)
	}
	return n
}

// sizes is a list of them.
func sizes(t testing.TB, variable string, otherwise ...int) (list []int) {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	for item := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(item)
		if err != nil || n < 1 {
			t.Fatalf("%s=%s: %q is no hit", variable, text, item)
		}
		list = append(list, n)
	}
	return list
}
