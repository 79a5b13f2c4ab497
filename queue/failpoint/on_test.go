//go:build failpoints

package failpoint

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The test binary is the victim when the variable says so.
func TestMain(m *testing.M) {
	if os.Getenv(Variable) != "" {
		for range 3 {
			Hit(GateBefore)
			_, _ = os.Stdout.WriteString(".")
		}
		return
	}
	os.Exit(m.Run())
}

// TestKillsAtTheHit: two hits pass, at the third the process is gone by SIGKILL.
func TestKillsAtTheHit(t *testing.T) {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), Variable+"=outcome.before=kill,gate.before=kill@3")
	out, err := command.Output()
	require.Equal(t, "..", string(out))
	exit, ok := err.(*exec.ExitError)
	require.True(t, ok, "%v", err)
	require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())
}

func TestPlan(t *testing.T) {
	a, err := parse("gate.before=error@2,ctrlz.before=delay:40ms")
	require.NoError(t, err)
	require.Empty(t, a.due(GateBefore))
	require.Equal(t, []action{{what: "error", hit: 2}}, a.due(GateBefore))
	require.Empty(t, a.due(GateBefore))
	for range 2 {
		require.Equal(t, []action{{what: "delay", wait: 40 * time.Millisecond}}, a.due(CtrlZBefore))
	}
	require.Empty(t, a.due(OutcomeBefore))
	for _, wrong := range []string{"gate.before", "=kill", "gate.before=die", "gate.before=kill@0", "gate.before=kill@x", "gate.before=delay"} {
		_, err := parse(wrong)
		require.Error(t, err, wrong)
	}
}
