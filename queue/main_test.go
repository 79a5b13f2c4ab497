package queue

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be the program that TestKill and
// TestATryIsOnDiskBeforeItIsSent kill.
func TestMain(m *testing.M) {
	if os.Getenv(killEnv) != "" {
		victim(os.Getenv(killEnv))
		return
	}
	if os.Getenv(pinKillEnv) != "" {
		pinVictim(os.Getenv(pinKillEnv))
		return
	}
	goleak.VerifyTestMain(m)
}
