package console

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// get reads one answer of the appliance.
func get[T any](s *session, path string) (T, error) {
	var out T
	ctx, cancel := context.WithTimeout(s.ctx, 30*time.Second)
	defer cancel()
	err := s.o.API.Do(ctx, http.MethodGet, path, nil, &out)
	return out, err
}

// ask the appliance to do something. A modem may take its time.
func (s *session) tell(method, path string, in any) error {
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	if err := s.o.API.Do(ctx, method, path, in, nil); err != nil {
		return err
	}
	fmt.Fprintln(s.out, s.say("done"))
	return nil
}

// onlyModem proposes the modem when there is just one.
func (s *session) onlyModem() string {
	if all, err := get[list[modemRow]](s, "/api/v1/modems"); err == nil && len(all.Items) == 1 {
		return all.Items[0].ID
	}
	return ""
}

// onlySIM proposes the SIM when there is just one.
func (s *session) onlySIM() string {
	if all, err := get[list[simRow]](s, "/api/v1/sims?limit=2"); err == nil && len(all.Items) == 1 {
		return cmp.Or(all.Items[0].Name, all.Items[0].ICCID)
	}
	return ""
}

// onlyAdmin proposes the first administrator.
func (s *session) onlyAdmin() string {
	all, err := get[[]User](s, "/control/users")
	if err != nil {
		return ""
	}
	if len(all) == 0 {
		fmt.Fprintln(s.out, s.say("no.admin"))
	}
	for _, u := range all {
		if u.Role == "admin" && !u.Disabled {
			return u.Name
		}
	}
	return ""
}

// modemID takes a modem by its id, by its port, or by its place in the list.
func (s *session) modemID(name string) (string, error) {
	all, err := get[list[modemRow]](s, "/api/v1/modems")
	if err != nil {
		return "", err
	}
	for i, m := range all.Items {
		if name == m.ID || name == m.Port || name == strconv.Itoa(i+1) {
			return m.ID, nil
		}
	}
	return name, nil // the appliance says what is wrong with it
}

// simPath is the API's path of a SIM.
func (s *session) simPath(name string) (string, error) {
	all, err := get[list[simRow]](s, "/api/v1/sims?limit=500")
	if err != nil {
		return "", err
	}
	for i, sim := range all.Items {
		if name == sim.ICCID || strings.EqualFold(name, sim.Name) || name == strconv.Itoa(i+1) {
			return "/api/v1/sims/" + url.PathEscape(sim.ICCID), nil
		}
	}
	return "/api/v1/sims/" + url.PathEscape(name), nil
}

func (s *session) restart(args []string) error {
	id, err := s.modemID(args[0])
	if err != nil {
		return err
	}
	return s.tell(http.MethodPost, "/api/v1/modems/"+url.PathEscape(id)+"/restart", nil)
}

func (s *session) trace(args []string) error {
	most := 20
	if len(args) > 1 {
		n, err := strconv.Atoi(args[1])
		if err != nil || n < 1 {
			return s.useOf("modem trace")
		}
		most = n
	}
	id, err := s.modemID(args[0])
	if err != nil {
		return err
	}
	lines, err := get[[]TraceLine](s, "/control/modems/"+url.PathEscape(id)+"/trace")
	if err != nil {
		return err
	}
	for _, l := range lines[max(0, len(lines)-most):] {
		arrow := "<"
		if l.Out {
			arrow = ">"
		}
		fmt.Fprintf(s.out, "%s %s %s\n", l.At.Local().Format("15:04:05.000"), arrow, l.Line)
	}
	return nil
}

func (s *session) patchSIM(name string, patch map[string]any) error {
	path, err := s.simPath(name)
	if err != nil {
		return err
	}
	return s.tell(http.MethodPatch, path, patch)
}

func (s *session) nameSIM(args []string) error {
	return s.patchSIM(args[0], map[string]any{"name": args[1]})
}

func (s *session) enableSIM(args []string) error {
	return s.patchSIM(args[0], map[string]any{"enabled": true})
}

func (s *session) disableSIM(args []string) error {
	return s.patchSIM(args[0], map[string]any{"enabled": false})
}

// secret asks for a password or a PIN, without echo; a script gives it on standard input.
func (s *session) secret(prompt string) (string, error) {
	if s.in != nil {
		return s.in.ReadPassword(s.text(prompt))
	}
	if s.o.Secrets == nil {
		return "", &UsageError{s.text("no.password")}
	}
	line, err := bufio.NewReader(io.LimitReader(s.o.Secrets, 4096)).ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return "", &UsageError{s.text("no.password")}
	}
	return line, nil
}

func (s *session) enterPIN(args []string) error {
	id, err := s.modemID(args[0])
	if err != nil {
		return err
	}
	if s.in != nil {
		fmt.Fprintln(s.out, s.say("pin.warning"))
	}
	pin, err := s.secret("a.pin")
	if err != nil {
		return err
	}
	return s.tell(http.MethodPost, "/control/modems/"+url.PathEscape(id)+"/pin", PIN{PIN: pin})
}

func (s *session) password(args []string) error {
	first, err := s.secret("a.password")
	if err != nil {
		return err
	}
	if s.in != nil {
		again, err := s.secret("again")
		if err != nil {
			return err
		}
		if again != first {
			return errors.New(s.text("differ"))
		}
	}
	return s.tell(http.MethodPost, "/control/users/"+url.PathEscape(args[0])+"/password", Password{Password: first})
}

func (s *session) send(args []string) error {
	ctx, cancel := context.WithTimeout(s.ctx, 30*time.Second)
	defer cancel()
	var out struct {
		Messages []messageRow `json:"messages"`
	}
	in := map[string]any{"to": args[0], "text": args[1]}
	if err := s.o.API.Do(ctx, http.MethodPost, "/api/v1/messages", in, &out); err != nil {
		return err
	}
	for _, m := range out.Messages {
		fmt.Fprintln(s.out, s.say("queued", m.ID, s.code(m.State)))
	}
	if s.o.API.Alone() {
		fmt.Fprintln(s.out, s.say("alone"))
	}
	return nil
}

// log shows the live log until a key is pressed; in a script until it is killed.
func (s *session) log([]string) error {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	stream, err := s.o.API.Stream(ctx, "/control/log")
	if err != nil {
		return err
	}
	if s.in == nil {
		defer stream.Close()
		return s.copyLog(ctx, stream)
	}
	fmt.Fprintln(s.out, s.say("any.key"))
	ended := make(chan error, 1)
	go func() {
		defer stream.Close()
		err := s.copyLog(ctx, stream)
		if ctx.Err() == nil {
			fmt.Fprintln(s.out, s.say("log.ended"))
		}
		ended <- err
	}()
	err = s.in.Key()
	cancel()
	if copied := <-ended; copied != nil {
		return copied
	}
	if idleOut(err) {
		return nil // the menu's own prompt says so next
	}
	return err
}

func (s *session) copyLog(ctx context.Context, stream io.Reader) error {
	lines := bufio.NewScanner(stream)
	for lines.Scan() {
		if _, err := fmt.Fprintln(s.out, lines.Text()); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return lines.Err()
}

func (s *session) setLanguage(args []string) error {
	switch args[0] {
	case English, Spanish:
		s.language = args[0]
		fmt.Fprintln(s.out, s.say("language"))
		return nil
	}
	return &UsageError{s.text("bad.language")}
}

func (s *session) quit([]string) error { return errQuit }
