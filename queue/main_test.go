package queue

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be the program that TestKill,
// TestKillNeverSpendsTooMuch, TestATryIsOnDiskBeforeItIsSent and TestKilledHolds
// kill.
func TestMain(m *testing.M) {
	if os.Getenv(killEnv) != "" {
		victim(os.Getenv(killEnv))
		return
	}
	if os.Getenv(killLimitsEnv) != "" {
		spender(os.Getenv(killLimitsEnv))
		return
	}
	if os.Getenv(pinKillEnv) != "" {
		pinVictim(os.Getenv(pinKillEnv))
		return
	}
	if os.Getenv(holdKillEnv) != "" {
		holder(os.Getenv(holdKillEnv))
		return
	}
	// The models work on files, a hundred operations on each: so many are enough for
	// every day. RAPID_CHECKS and -rapid.checks say otherwise.
	if os.Getenv("RAPID_CHECKS") == "" {
		if err := flag.Set("rapid.checks", "40"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}
