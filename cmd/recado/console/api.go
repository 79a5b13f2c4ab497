package console

import (
	"context"
	"io"
	"time"
)

// API is the appliance as the console asks it: HTTP paths over the control socket.
type API interface {
	// Do sends in as JSON (nil: no body) and reads the answer into out (nil: not wanted). The
	// error's text says what to do.
	Do(ctx context.Context, method, path string, in, out any) error
	// Stream gives an answer that goes on until ctx ends.
	Stream(ctx context.Context, path string) (io.ReadCloser, error)
	// Alone says that no daemon runs: there are data, but nothing that sends.
	Alone() bool
}

// Info is what the banner says: GET /control/info.
type Info struct {
	Version      string    `json:"version"`
	Host         string    `json:"host"`
	Addresses    []string  `json:"addresses"` // URLs; none without a daemon
	PID          int       `json:"pid"`
	Started      time.Time `json:"started"`    // zero without a daemon
	SetupCode    string    `json:"setup_code"` // "" once there is an administrator
	Paused       bool      `json:"paused"`
	ClockTrusted bool      `json:"clock_trusted"`
}

// User is an account: GET /control/users.
type User struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	Disabled bool   `json:"disabled"`
}

// Password is the body of POST /control/users/{name}/password.
type Password struct {
	Password string `json:"password"`
}

// PIN is the body of POST /control/modems/{id}/pin.
type PIN struct {
	PIN string `json:"pin"`
}

// TraceLine is one redacted line of a modem's AT dialogue: GET /control/modems/{id}/trace.
type TraceLine struct {
	At   time.Time `json:"at"`
	Out  bool      `json:"out"` // to the modem
	Line string    `json:"line"`
}

// What is read of the API's own answers (see /openapi.json).
type (
	modemRow struct {
		ID           string    `json:"id"`
		IMEI         string    `json:"imei"`
		Manufacturer string    `json:"manufacturer"`
		Model        string    `json:"model"`
		Firmware     string    `json:"firmware"`
		Family       string    `json:"family"`
		Port         string    `json:"port"`
		USBPath      string    `json:"usb_path"`
		State        string    `json:"state"`
		Since        time.Time `json:"since"`
		SIM          string    `json:"sim"`
		Reason       string    `json:"reason"`
		LastError    string    `json:"last_error"`
		Restarts     int       `json:"restarts"`
	}
	simRow struct {
		ICCID    string `json:"iccid"`
		IMSI     string `json:"imsi"`
		Name     string `json:"name"`
		Number   string `json:"number"`
		Operator string `json:"operator"`
		State    string `json:"state"`
		Reason   string `json:"reason"`
		Modem    string `json:"modem"`
		Signal   struct {
			RSSI *int `json:"rssi_dbm"`
		} `json:"signal"`
		Registration string    `json:"registration"`
		Technology   string    `json:"access_technology"`
		SMSC         string    `json:"smsc"`
		SentTotal    int       `json:"sent_total"`
		FailedRecent int       `json:"failed_recent"`
		LastSentAt   time.Time `json:"last_sent_at"`
	}
	historyRow struct {
		At   time.Time `json:"at"`
		Kind string    `json:"kind"`
		Step string    `json:"step"`
		Text string    `json:"text"`
	}
	messageRow struct {
		ID        string    `json:"id"`
		To        string    `json:"to"`
		Class     string    `json:"class"`
		State     string    `json:"state"`
		Reason    string    `json:"reason"`
		CreatedAt time.Time `json:"created_at"`
	}
	list[T any] struct {
		Items []T     `json:"items"`
		Next  *string `json:"next"`
	}
)
