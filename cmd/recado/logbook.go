package main

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
)

// logbook keeps the last lines of the log and hands new ones to who follows it: the
// console's live log. It is an io.Writer for slog handlers, which write one line at a time.
type logbook struct {
	mu        sync.Mutex
	recent    []string // the newest is last
	followers map[chan string]bool
}

const (
	logbookLines = 1000
	// followerLines may wait for a slow terminal; what is beyond is dropped, the log never waits.
	followerLines = 256
)

func newLogbook() *logbook { return &logbook{followers: map[chan string]bool{}} }

// Write takes one line.
func (b *logbook) Write(line []byte) (int, error) {
	text := string(bytes.TrimRight(line, "\n"))
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.recent) == logbookLines {
		copy(b.recent, b.recent[1:])
		b.recent = b.recent[:logbookLines-1]
	}
	b.recent = append(b.recent, text)
	for f := range b.followers {
		select {
		case f <- text:
		default:
		}
	}
	return len(line), nil
}

// follow gives the last n lines and then each new one, until stop is called.
func (b *logbook) follow(n int) (recent []string, lines <-chan string, stop func()) {
	c := make(chan string, followerLines)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.followers[c] = true
	recent = append(recent, b.recent[max(0, len(b.recent)-n):]...)
	return recent, c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.followers, c)
	}
}

// newLogger writes to the journal (or the terminal) and to the logbook.
func newLogger(w io.Writer, book *logbook, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	return slog.New(slog.NewMultiHandler(slog.NewTextHandler(w, options), slog.NewTextHandler(book, options)))
}
