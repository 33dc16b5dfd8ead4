//! Files of the crate, compiled with Loom's atomics and locks in place of the standard
//! library's: each model runs in every order that its threads' steps can come in.

#[cfg(test)]
#[path = "../../src/context/wake_flag.rs"]
mod wake_flag;

#[cfg(test)]
#[path = "../../src/keylog/file/compress/state.rs"]
mod state;

#[cfg(test)]
mod tests {
    use super::state::State;
    use super::wake_flag::WakeFlag;
    use loom::sync::atomic::{AtomicBool, Ordering};
    use loom::sync::{Arc, Mutex, Notify};
    use loom::thread;

    /// Runs it in every order with at most three switches between threads that a thread
    /// didn't ask for: more take minutes, and found nothing else.
    fn model(f: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(f);
    }

    /// The service loop: commands and flags from other threads, and what wakes it.
    struct Service {
        woken: WakeFlag,
        /// As the event descriptor: set until it was waited for.
        wakes: Notify,
        commands: Mutex<Vec<u32>>,
        stop: AtomicBool,
    }

    impl Service {
        fn new() -> Arc<Self> {
            Arc::new(Service {
                woken: WakeFlag::new(),
                wakes: Notify::new(),
                commands: Mutex::new(Vec::new()),
                stop: AtomicBool::new(false),
            })
        }

        fn wake(&self) {
            if self.woken.raise() {
                self.wakes.notify();
            }
        }
    }

    // One that was lost would leave the loop asleep, which Loom reports as a deadlock.
    #[test]
    fn no_command_is_overlooked() {
        model(|| {
            let service = Service::new();
            let askers = [1, 2].map(|number| {
                let service = Arc::clone(&service);
                thread::spawn(move || {
                    service.commands.lock().unwrap().push(number);
                    service.wake();
                })
            });
            let mut done = 0;
            while done < 2 {
                service.woken.lower();
                done += service.commands.lock().unwrap().drain(..).count();
                if done < 2 {
                    service.wakes.wait();
                }
            }
            for asker in askers {
                asker.join().unwrap();
            }
        });
    }

    // As above, for what no lock orders: the flag of `ContextHandle::stop`.
    #[test]
    fn no_stop_is_overlooked_beside_a_command() {
        model(|| {
            let service = Service::new();
            let (stopper, commander) = (Arc::clone(&service), Arc::clone(&service));
            let stopper = thread::spawn(move || {
                stopper.stop.swap(true, Ordering::AcqRel);
                stopper.wake();
            });
            let commander = thread::spawn(move || {
                commander.commands.lock().unwrap().push(1);
                commander.wake();
            });
            let (mut stopped, mut done) = (false, 0);
            while !stopped || done == 0 {
                service.woken.lower();
                done += service.commands.lock().unwrap().drain(..).count();
                stopped |= service.stop.swap(false, Ordering::AcqRel);
                if !stopped || done == 0 {
                    service.wakes.wait();
                }
            }
            stopper.join().unwrap();
            commander.join().unwrap();
        });
    }

    // A queue has a flag of its own; who raises it puts it on the list of those that
    // the loop looks at.
    #[test]
    fn no_message_stays_in_a_queue() {
        model(|| {
            let service = Service::new();
            let queue = Arc::new((WakeFlag::new(), Mutex::new(Vec::new())));
            let senders = [1, 2].map(|message| {
                let (service, queue) = (Arc::clone(&service), Arc::clone(&queue));
                thread::spawn(move || {
                    queue.1.lock().unwrap().push(message);
                    if queue.0.raise() {
                        service.commands.lock().unwrap().push(7);
                        service.wake();
                    }
                })
            });
            let mut sent = 0;
            while sent < 2 {
                service.woken.lower();
                let listed = std::mem::take(&mut *service.commands.lock().unwrap());
                for _ in listed {
                    queue.0.lower();
                    sent += queue.1.lock().unwrap().drain(..).count();
                }
                if sent < 2 {
                    service.wakes.wait();
                }
            }
            for sender in senders {
                sender.join().unwrap();
            }
        });
    }

    /// Sees to what there is, as the thread does that compresses old files.
    fn see_to(state: &State, left: &Mutex<u32>, seen: &Mutex<u32>) {
        while state.begin(1) {
            let found = std::mem::take(&mut *left.lock().unwrap());
            *seen.lock().unwrap() += found;
            if state.end(1) {
                return;
            }
        }
    }

    // Two rotations, each of which starts a thread where there is none that would see it.
    #[test]
    fn no_old_file_is_overlooked() {
        model(|| {
            let shared = Arc::new((State::new(), Mutex::new(0), Mutex::new(0)));
            let mut threads = Vec::new();
            for _ in 0..2 {
                *shared.1.lock().unwrap() += 1;
                if !shared.0.more(1) {
                    let own = Arc::clone(&shared);
                    threads.push(thread::spawn(move || see_to(&own.0, &own.1, &own.2)));
                }
            }
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(*shared.2.lock().unwrap(), 2);
        });
    }
}
