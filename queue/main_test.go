package queue

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be the program that TestKill kills.
func TestMain(m *testing.M) {
	if os.Getenv(killEnv) != "" {
		victim(os.Getenv(killEnv))
		return
	}
	goleak.VerifyTestMain(m)
}
