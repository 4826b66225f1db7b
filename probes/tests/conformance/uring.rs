//! A server that accepts, reads and writes by io_uring: no system call of its own carries a request.

use std::{
    net::TcpListener,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    ptr::null_mut,
};

use io_uring::{IoUring, opcode, squeue::Entry, types::Fd};

/// Answers 200 to everything, one connection at a time, and logs it.
#[expect(clippy::print_stdout, reason = "this is the log that the suite reads")]
pub fn serve(listener: &TcpListener) {
    let mut ring = IoUring::new(8).unwrap();
    loop {
        let accept = opcode::Accept::new(Fd(listener.as_raw_fd()), null_mut(), null_mut());
        let accepted = run(&mut ring, &accept.build());
        assert!(accepted >= 0, "accept: {accepted}");
        // SAFETY: the kernel just gave it to us.
        let connection = unsafe { OwnedFd::from_raw_fd(accepted) };
        let fd = Fd(connection.as_raw_fd());
        let mut asked = Vec::new();
        loop {
            let mut buffer = vec![0; 4096];
            let read = run(
                &mut ring,
                &opcode::Recv::new(fd, buffer.as_mut_ptr(), 4096).build(),
            );
            let Some(read) = usize::try_from(read).ok().filter(|read| *read > 0) else {
                break;
            };
            asked.extend(&buffer[..read]);
            while let Some(end) = asked.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8(asked.drain(..end + 4).collect()).unwrap();
                let words: Vec<&str> = head.split(' ').collect();
                println!("{} {} 200", words[0], words[1]);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfine\n";
                let length = u32::try_from(answer.len()).unwrap();
                let sent = run(&mut ring, &opcode::Send::new(fd, answer.as_ptr(), length).build());
                assert_eq!(u32::try_from(sent), Ok(length));
            }
        }
    }
}

/// Submits one operation and waits until it is done. What it points to lives until then.
fn run(ring: &mut IoUring, operation: &Entry) -> i32 {
    // SAFETY: callers keep buffers alive over this call, and it waits for the end.
    unsafe { ring.submission().push(operation).unwrap() };
    ring.submit_and_wait(1).unwrap();
    ring.completion().next().unwrap().result()
}
