//go:build failpoints

package failpoint

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// On says whether the program was built with failpoints.
const On = true

// ErrInjected is what an error action gives.
var ErrInjected = errors.New("injected by a failpoint")

// Variable is the environment variable that holds the plan.
const Variable = "RECADO_FAILPOINTS"

// plan is read at the first hit.
var plan = sync.OnceValues(func() (*actions, error) { return parse(os.Getenv(Variable)) })

type actions struct {
	mu   sync.Mutex
	hits map[string]int
	on   map[string][]action
}

type action struct {
	what string // kill, error, delay
	wait time.Duration
	hit  int // 0: every one
}

// parse reads a plan. What it does not understand is an error: a proof whose
// failpoint does not act would prove nothing.
func parse(text string) (*actions, error) {
	a := &actions{hits: map[string]int{}, on: map[string][]action{}}
	for item := range strings.SplitSeq(text, ",") {
		if item == "" {
			continue
		}
		name, what, found := strings.Cut(item, "=")
		if !found || name == "" {
			return nil, fmt.Errorf("failpoint %q: not NAME=ACTION", item)
		}
		var act action
		what, at, numbered := strings.Cut(what, "@")
		if numbered {
			n, err := strconv.Atoi(at)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("failpoint %q: %q is no hit", item, at)
			}
			act.hit = n
		}
		act.what, at, _ = strings.Cut(what, ":")
		switch act.what {
		case "kill", "error":
		case "delay":
			d, err := time.ParseDuration(at)
			if err != nil {
				return nil, fmt.Errorf("failpoint %q: %w", item, err)
			}
			act.wait = d
		default:
			return nil, fmt.Errorf("failpoint %q: no action %q", item, act.what)
		}
		a.on[name] = append(a.on[name], act)
	}
	return a, nil
}

// due counts a hit and gives what is to be done at it.
func (a *actions) due(name string) (list []action) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.on[name]) == 0 {
		return nil
	}
	a.hits[name]++
	for _, act := range a.on[name] {
		if act.hit == 0 || act.hit == a.hits[name] {
			list = append(list, act)
		}
	}
	return list
}

// Hit acts at a place that cannot fail: error actions panic there.
func Hit(name string) {
	if err := Err(name); err != nil {
		panic(fmt.Sprintf("failpoint %s: an error where none can be returned", name))
	}
}

// Err acts at a place that can fail, and gives ErrInjected when the plan says so.
func Err(name string) error {
	a, err := plan()
	if err != nil {
		panic(err)
	}
	for _, act := range a.due(name) {
		switch act.what {
		case "delay":
			time.Sleep(act.wait)
		case "error":
			return fmt.Errorf("%s: %w", name, ErrInjected)
		case "kill":
			// Nothing runs after it: not a deferred function, not another goroutine.
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	return nil
}
