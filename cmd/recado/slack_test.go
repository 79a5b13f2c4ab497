package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// sayTimerSlack prints that of a thread which the runtime made, in nanoseconds.
func sayTimerSlack() {
	said := make(chan int)
	go func() {
		runtime.LockOSThread() // and so does main: this is another
		slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
		if err != nil {
			panic(err)
		}
		said <- slack
	}()
	runtime.LockOSThread()
	fmt.Print(<-said)
	os.Exit(0)
}

func TestOnlyServeHasTimerSlack(t *testing.T) {
	for name, want := range map[string]string{"serve": "1000000", "emulate": "50000", "status": "50000"} {
		command := exec.Command(os.Args[0], name)
		command.Env = append(os.Environ(), "RECADO_IS_THE_PROGRAM=timerslack")
		out, err := command.Output()
		require.NoError(t, err)
		require.Equal(t, want, string(out), name)
	}
}
