package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"recado/cmd/recado/console"
)

// supportBundle writes what `recado doctor --bundle` does, from within the daemon: for an
// administrator at the pages.
func (w *ward) supportBundle(ctx context.Context, out io.Writer, config configFlag, trust bool) error {
	var report strings.Builder
	if err := w.report(ctx, console.English, os.Getpid()).Write(&report, console.English, reportWidth); err != nil {
		return err
	}
	papers := append([]paper{
		{Name: "doctor.txt", Text: report.String(), About: "what is wrong, and what to do"},
		{Name: "about.txt", Text: aboutBox(w.dir, trust), About: "version, system, memory, disk, clock"},
		{Name: "config.txt", Text: (&doctorCmd{configFlag: config}).configText(), About: "the configuration, values of secrets taken out"},
		{Name: "usb.txt", Text: usbText(w.tree), About: "USB devices and ports, programs that take modems"},
		{Name: "data.txt", Text: folderText(w.dir), About: "the data folder: names, sizes, modes"},
	}, w.papers(ctx)...)
	if ask := dialDaemon(w.dir); ask != nil { // this process, over its own socket
		papers = append(papers, healthPapers(ctx, ask)...)
		_ = ask.Close()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := writeBundle(out, fitting(papers, paperMost, papersMost)); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return nil
}
