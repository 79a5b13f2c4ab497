package main

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"recado/cmd/recado/console"
)

// paper is one file of a support bundle.
type paper struct {
	Name string `json:"name"`
	// Text is what is in it; About says in a few words what that is.
	Text  string `json:"text"`
	About string `json:"about"`
	// Tail: when it is too long its end counts, as of a log.
	Tail bool `json:"tail,omitempty"`
}

const (
	// paperMost bounds one file of a bundle, papersMost all of them, in octets.
	paperMost, papersMost = 512 << 10, 5 << 20
	// papersLimit is how long the daemon may take for its part.
	papersLimit = 5 * time.Second
)

// createBundle makes the file, for its owner only. One that is there is never overwritten.
func createBundle(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("write the bundle: %s is there already: name another file", name)
	}
	if err != nil {
		return nil, fmt.Errorf("write the bundle: %w", err)
	}
	return file, nil
}

// discard takes a bundle away that was not finished; nil: there is none.
func discard(file *os.File) error {
	if file == nil {
		return nil
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

// bundle gathers the papers, writes them, and says what is in them.
func (c *doctorCmd) bundle(ctx context.Context, out io.Writer, file *os.File, e examination) error {
	var report strings.Builder
	if err := e.report.Write(&report, console.English, reportWidth); err != nil {
		return err
	}
	papers := []paper{
		{Name: "doctor.txt", Text: report.String(), About: "what is wrong, and what to do"},
		{Name: "about.txt", Text: aboutBox(e.look.dir, e.look.trust), About: "version, system, memory, disk, clock"},
		{Name: "config.txt", Text: c.configText(), About: "the configuration, values of secrets taken out"},
		{Name: "usb.txt", Text: usbText(e.look.tree), About: "USB devices and ports, programs that take modems"},
		{Name: "data.txt", Text: folderText(e.look.dir), About: "the data folder: names, sizes, modes"},
	}
	if len(e.figures.Rows) > 0 {
		papers = append(papers, paper{Name: "database.txt", Text: figuresText(e.figures), About: "the database's sizes, no contents"})
	}
	if e.ask != nil {
		limited, cancel := context.WithTimeout(ctx, papersLimit)
		defer cancel()
		var theirs []paper
		if err := e.ask.Do(limited, http.MethodGet, "/control/bundle", nil, &theirs); err != nil {
			papers = append(papers, paper{Name: "missing.txt", Text: "the running recado did not give its part: " + oneLine(err) + "\n", About: "what could not be had"})
		}
		papers = append(papers, theirs...)
		papers = append(papers, healthPapers(limited, e.ask)...)
	}
	papers = fitting(papers, paperMost, papersMost)
	list, err := writeBundle(file, papers)
	if err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	size := int64(0)
	if info, err := os.Stat(file.Name()); err == nil {
		size = info.Size()
	}
	_, err = fmt.Fprintf(out, "%s (%d KB), readable by you alone:\n\n%s", file.Name(), (size+1023)>>10, list)
	return err
}

// fitting cuts the papers to so many octets each and in all, at the ends of lines so that
// nothing is half a number, and cleans them.
func fitting(papers []paper, each, all int) []paper {
	room := all - all/40 // for the list, the headers and what cleaning adds
	for i := range papers {
		p := &papers[i]
		if strings.HasSuffix(p.Name, ".json") {
			p.Text = longNumbersQuoted(p.Text)
		}
		most := min(each, room)
		room -= min(len(p.Text), most)
		over := len(p.Text) - most
		switch {
		case over <= 0:
			p.Text = scrub(p.Text)
		case p.Tail:
			_, rest, _ := strings.Cut(p.Text[over:], "\n")
			p.Text = "(what was before this is left out)\n" + scrub(rest)
		default:
			p.Text = scrub(p.Text[:strings.LastIndexByte(p.Text[:most], '\n')+1]) + "(what comes after this is left out)\n"
		}
	}
	return papers
}

// writeBundle writes the archive, with a list of contents in front, which it returns.
func writeBundle(file io.Writer, papers []paper) (list string, err error) {
	var b strings.Builder
	width := 0
	for _, p := range papers {
		width = max(width, utf8.RuneCountInString(p.Name))
	}
	for _, p := range papers {
		fmt.Fprintf(&b, "  %-*s  %7d  %s\n", width, p.Name, len(p.Text), p.About)
	}
	b.WriteString("\nNot in it: texts of messages, PINs, passwords, keys. Of phone numbers the last three\n" +
		"digits are left, of IMEI, IMSI and ICCID the last four. It is plain text: read it before you send it.\n")
	list = b.String()

	packed := gzip.NewWriter(file)
	archive := tar.NewWriter(packed)
	now := time.Now()
	folder := "recado-support-" + now.UTC().Format("20060102-150405")
	for _, p := range append([]paper{{Name: "CONTENTS.txt", Text: list}}, papers...) {
		head := &tar.Header{Name: path.Join(folder, p.Name), Mode: 0o600, Size: int64(len(p.Text)), ModTime: now, Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(head); err != nil {
			return "", err
		}
		if _, err := io.WriteString(archive, p.Text); err != nil {
			return "", err
		}
	}
	return list, cmp.Or(archive.Close(), packed.Close())
}
