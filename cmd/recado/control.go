package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"recado/cmd/recado/console"
	"recado/pool"
	"recado/webui/auth"
)

// control is the handler of the local control socket, for root and recado on this box: the
// API's own routes under /api/v1/, and what no network may ask for under /control/.
type control struct {
	auth *auth.Store
	pool *pool.Pool
	book *logbook
	ward *ward
	// info is what the banner says.
	info func(*http.Request) (console.Info, error)
}

// handler serves /control/ itself and leaves the rest to api.
func (c *control) handler(api http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /control/info", c.getInfo)
	mux.HandleFunc("GET /control/users", c.users)
	mux.HandleFunc("POST /control/users", c.createUser)
	mux.HandleFunc("POST /control/users/{name}/password", c.setPassword)
	mux.HandleFunc("POST /control/modems/{id}/pin", c.enterPIN)
	mux.HandleFunc("GET /control/modems/{id}/trace", c.trace)
	mux.HandleFunc("GET /control/log", c.log)
	mux.HandleFunc("GET /control/doctor", c.getDoctor)
	mux.HandleFunc("GET /control/bundle", c.getPapers)
	mux.HandleFunc("POST /control/backup", c.postBackup)
	mux.Handle("/", api)
	return mux
}

func (c *control) getInfo(w http.ResponseWriter, r *http.Request) {
	info, err := c.info(r)
	answer(w, info, err)
}

func (c *control) users(w http.ResponseWriter, r *http.Request) {
	people, err := c.auth.People(r.Context())
	users := []console.User{}
	for _, p := range people {
		users = append(users, console.User{Name: p.Name, Role: string(p.Role), Disabled: p.Disabled})
	}
	answer(w, users, err)
}

// newUser asks for an account.
type newUser struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	Password string `json:"password"`
}

func (c *control) createUser(w http.ResponseWriter, r *http.Request) {
	var in newUser
	if !decode(w, r, &in) {
		return
	}
	p, err := c.auth.CreatePerson(r.Context(), in.Name, auth.Role(in.Role), in.Password)
	answer(w, console.User{Name: p.Name, Role: string(p.Role)}, err)
}

func (c *control) setPassword(w http.ResponseWriter, r *http.Request) {
	var in console.Password
	if !decode(w, r, &in) {
		return
	}
	answer(w, struct{}{}, c.auth.SetPasswordBy(r.Context(), auth.Console(), r.PathValue("name"), in.Password))
}

func (c *control) enterPIN(w http.ResponseWriter, r *http.Request) {
	var in console.PIN
	if !decode(w, r, &in) {
		return
	}
	answer(w, struct{}{}, c.pool.EnterPIN(r.Context(), r.PathValue("id"), in.PIN))
}

func (c *control) trace(w http.ResponseWriter, r *http.Request) {
	entries, err := c.pool.Trace(r.PathValue("id"))
	lines := []console.TraceLine{}
	for _, e := range entries {
		lines = append(lines, console.TraceLine{At: e.At, Out: e.Out, Line: e.Line})
	}
	answer(w, lines, err)
}

// log streams the log as lines of text until the client goes.
func (c *control) log(w http.ResponseWriter, r *http.Request) {
	recent, lines, stop := c.book.follow(20)
	defer stop()
	stream := http.NewResponseController(w)
	// The server's write timeout is for answers, not for streams.
	_ = stream.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, line := range recent {
		fmt.Fprintln(w, line)
	}
	for {
		if err := stream.Flush(); err != nil {
			return
		}
		select {
		case line := <-lines:
			fmt.Fprintln(w, line)
		case <-r.Context().Done():
			return
		}
	}
}

// decode reads a small JSON body, and answers itself when it cannot.
func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		answerProblem(w, http.StatusBadRequest, "cannot read the request: "+err.Error())
		return false
	}
	return true
}

// answer writes the JSON of v, or what err means to whoever asked.
func answer(w http.ResponseWriter, v any, err error) {
	if err == nil {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
		return
	}
	status := http.StatusInternalServerError
	if _, invalid := errors.AsType[*auth.Invalid](err); invalid {
		status = http.StatusUnprocessableEntity
	}
	for is, code := range map[error]int{
		auth.ErrNoPerson:  http.StatusNotFound,
		auth.ErrNameTaken: http.StatusConflict,
		pool.ErrNoModem:   http.StatusNotFound,
	} {
		if errors.Is(err, is) {
			status = code
		}
	}
	answerProblem(w, status, err.Error())
}

// answerProblem writes an RFC 9457 problem, as the API does.
func answerProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "title": http.StatusText(status), "detail": detail})
}
