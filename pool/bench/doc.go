// Package bench measures programs that send through modems, all the same way:
// recado, a perfect driver (a loop that writes the bare AT dialogue and nothing
// else), smstools, gammu-smsd and kannel, each the real program in processes of its
// own, against `recado emulate` in another. What is measured is what the emulated
// modems saw on their lines, and what the kernel says of the programs' processes. It
// holds only benchmarks and the tests of their arithmetic:
//
//	make bench          recado and the perfect driver, with what the queue does
//	make bench-peers    all of them; writes pool/BENCHMARKS.md
//
// RECADO_BENCH_DRIVERS, RECADO_BENCH_MODEMS and RECADO_BENCH_LATENCIES choose ("recado
// perfect", "1 32", "2s 200ms"), RECADO_BENCH_SCALE makes every run longer or shorter
// (1: about 24 s at 2.0 s), RECADO_BENCH_TABLE names a file for the table,
// RECADO_BENCH_BINARY a recado other than this tree's.
package bench
