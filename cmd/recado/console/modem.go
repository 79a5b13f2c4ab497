package console

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// history shows what happened to a modem, the newest last, where the prompt is.
func (s *session) history(args []string) error {
	most := 20
	if len(args) > 1 {
		n, err := strconv.Atoi(args[1])
		if err != nil || n < 1 || n > 500 {
			return s.useOf("modem history")
		}
		most = n
	}
	id, err := s.modemID(args[0])
	if err != nil {
		return err
	}
	all, err := get[list[historyRow]](s, fmt.Sprintf("/api/v1/modems/%s/history?limit=%d", url.PathEscape(id), most))
	if err != nil {
		return err
	}
	if len(all.Items) == 0 {
		fmt.Fprintln(s.out, s.text("none"))
	}
	for _, e := range slices.Backward(all.Items) {
		kind := s.code(e.Kind)
		if e.Step != "" {
			kind += " " + e.Step
		}
		fmt.Fprintf(s.out, "%s  %s %s\n", e.At.Local().Format(time.DateTime), pad(kind, 8), s.shown(e.Text))
	}
	return nil
}

// power has a modem's power cut for a moment.
func (s *session) power(args []string) error {
	id, err := s.modemID(args[0])
	if err != nil {
		return err
	}
	return s.tell(http.MethodPost, "/api/v1/modems/"+url.PathEscape(id)+"/power", nil)
}

// forgetPIN has a SIM's remembered PIN forgotten.
func (s *session) forgetPIN(args []string) error {
	path, err := s.simPath(args[0])
	if err != nil {
		return err
	}
	return s.tell(http.MethodDelete, path+"/pin", nil)
}

// enterPUK unblocks a SIM. A script gives the PUK and the new PIN on standard
// input, a line each.
func (s *session) enterPUK(args []string) error {
	id, err := s.modemID(args[0])
	if err != nil {
		return err
	}
	puk, pin, err := s.pukAndPIN()
	if err != nil {
		return err
	}
	return s.tell(http.MethodPost, "/api/v1/modems/"+url.PathEscape(id)+"/puk", map[string]any{"puk": puk, "new_pin": pin})
}

func (s *session) pukAndPIN() (puk, pin string, err error) {
	if s.in == nil {
		if s.o.Secrets == nil {
			return "", "", &UsageError{s.text("no.puk")}
		}
		text, err := io.ReadAll(io.LimitReader(s.o.Secrets, 4096))
		if err != nil {
			return "", "", err
		}
		lines := strings.Fields(string(text))
		if len(lines) != 2 {
			return "", "", &UsageError{s.text("no.puk")}
		}
		return lines[0], lines[1], nil
	}
	fmt.Fprintln(s.out, s.say("puk.warning"))
	if puk, err = s.secret("a.puk"); err != nil {
		return "", "", err
	}
	if pin, err = s.secret("a.newpin"); err != nil {
		return "", "", err
	}
	again, err := s.secret("again")
	if err == nil && again != pin {
		err = errors.New(s.text("differ"))
	}
	return puk, pin, err
}
