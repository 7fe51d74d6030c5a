//! The real socket on loopback: binding, batches, errors of the kernel.

#![cfg(feature = "socket")]

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bytes::Bytes;
    use qadom_transport::{BindError, Path, Sent, Socket, SocketErrors, Transmit};

    const LOOPBACK: &str = "127.0.0.1:0";

    fn bind(address: &str) -> (Socket, SocketAddr) {
        let socket = Socket::bind(address.parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    /// Receives until `count` datagrams have come.
    async fn receive(socket: &Socket, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut received = Vec::new();
        while received.len() < count {
            socket.readable().await.unwrap();
            let mut fresh = 0;
            let taken = socket.receive(
                |path, datagram| {
                    fresh += 1;
                    received.push((path.remote, datagram.to_vec()));
                },
                |quic| panic!("no QUIC was sent: {quic:?}"),
            );
            assert_eq!(taken.unwrap(), fresh);
        }
        received
    }

    async fn send(socket: &Socket, to: SocketAddr, bytes: Vec<u8>) {
        let transmit = Transmit {
            from: None,
            to,
            bytes: Bytes::from(bytes),
        };
        while socket.send(&transmit) == Sent::Full {
            socket.writable().await.unwrap();
        }
    }

    #[tokio::test]
    async fn datagrams_of_all_sizes_arrive_as_they_were_sent() {
        let ((one, one_at), (two, two_at)) = (bind(LOOPBACK), bind(LOOPBACK));
        for size in [1usize, 64, 512, 1200] {
            let burst = 50u8;
            for number in 0..burst {
                send(&one, two_at, vec![number & 0x3f; size]).await;
            }
            for (number, (from, bytes)) in (0..burst).zip(receive(&two, burst.into()).await) {
                assert_eq!(from, one_at);
                assert_eq!(bytes, vec![number & 0x3f; size]);
            }
        }
        assert_eq!(two.receive(|_, _| {}, |_| {}).unwrap(), 0);
    }

    #[tokio::test]
    async fn a_batch_arrives_as_if_sent_one_by_one() {
        let ((one, one_at), (two, two_at), (three, three_at)) =
            (bind(LOOPBACK), bind(LOOPBACK), bind(LOOPBACK));
        // More of one length than the kernel takes at once, shorter ones, longer ones, both peers.
        let lengths = [
            vec![64; 200],
            vec![1200; 60],
            vec![30, 64, 64, 512, 64, 1, 1],
        ]
        .concat();
        let mut expected = (Vec::new(), Vec::new());
        let mut batch = one.batch();
        for (number, length) in lengths.into_iter().enumerate() {
            let is_two = number % 100 < 90;
            let (to, list) = if is_two {
                (two_at, &mut expected.0)
            } else {
                (three_at, &mut expected.1)
            };
            let byte = u8::try_from(number % 64).unwrap();
            let bytes = Bytes::from(vec![byte; length]);
            list.push((one_at, bytes.to_vec()));
            batch.push(&Transmit {
                to,
                from: None,
                bytes,
            });
        }
        drop(batch);
        assert_eq!(receive(&two, expected.0.len()).await, expected.0);
        assert_eq!(receive(&three, expected.1.len()).await, expected.1);
        assert_eq!(one.errors(), SocketErrors::default());
    }

    #[tokio::test]
    async fn one_bad_datagram_of_a_batch_harms_no_other() {
        let ((one, one_at), (two, two_at)) = (bind(LOOPBACK), bind(LOOPBACK));
        let mut batch = one.batch();
        for (to, length) in [(two_at, 10), (two_at, 66_000), (two_at, 10)] {
            let bytes = Bytes::from(vec![1; length]);
            batch.push(&Transmit {
                to,
                from: None,
                bytes,
            });
        }
        drop(batch);
        let expected = vec![(one_at, vec![1; 10]); 2];
        assert_eq!(receive(&two, 2).await, expected);
        assert_eq!(one.errors().send, 1);
    }

    #[tokio::test]
    async fn a_port_in_use_is_told() {
        let (_socket, address) = bind(LOOPBACK);
        assert!(matches!(Socket::bind(address), Err(BindError::InUse(at)) if at == address));
        let foreign = "192.0.2.1:0".parse().unwrap();
        assert!(matches!(
            Socket::bind(foreign),
            Err(BindError::NotAvailable(_))
        ));
    }

    #[tokio::test]
    async fn both_families_share_a_port() {
        let Ok(six) = Socket::bind("[::]:0".parse().unwrap()) else {
            // The machine has no IPv6.
            return;
        };
        let port = six.local_addr().unwrap().port();
        let four = Socket::bind(SocketAddr::from(([0, 0, 0, 0], port))).unwrap();
        let (sender, from) = bind(LOOPBACK);
        send(&sender, SocketAddr::from(([127, 0, 0, 1], port)), vec![4]).await;
        assert_eq!(receive(&four, 1).await, [(from, vec![4])]);
        let (sender, from) = bind("[::1]:0");
        send(&sender, format!("[::1]:{port}").parse().unwrap(), vec![6]).await;
        assert_eq!(receive(&six, 1).await, [(from, vec![6])]);
    }

    #[tokio::test]
    async fn errors_of_the_kernel_are_counted_and_end_nothing() {
        let (socket, address) = bind(LOOPBACK);
        let too_long = Transmit {
            from: None,
            to: address,
            bytes: Bytes::from(vec![0; 65_535]),
        };
        assert_eq!(socket.send(&too_long), Sent::Refused);
        let other_family = Transmit {
            from: None,
            to: "[::1]:9".parse().unwrap(),
            bytes: Bytes::from_static(b"x"),
        };
        assert_eq!(socket.send(&other_family), Sent::Refused);
        assert_eq!(socket.errors().send, 2);
        let closed = bind(LOOPBACK).1;
        for _ in 0..3 {
            send(&socket, closed, vec![1]).await;
            assert!(socket.receive(|_, _| {}, |_| {}).is_ok());
        }
        send(&socket, address, vec![7]).await;
        assert_eq!(receive(&socket, 1).await, [(address, vec![7])]);
    }

    #[tokio::test]
    async fn answers_leave_from_the_address_that_was_asked() {
        let (server, at) = bind("0.0.0.0:0");
        let (client, client_at) = bind(LOOPBACK);
        // Not every system has more than one address on loopback.
        if !cfg!(target_os = "linux") {
            return;
        }
        let asked = SocketAddr::from(([127, 0, 0, 2], at.port()));
        send(&client, asked, vec![1]).await;
        server.readable().await.unwrap();
        let mut paths = Vec::new();
        server.receive(|path, _| paths.push(path), |_| {}).unwrap();
        assert_eq!(
            paths,
            [Path {
                remote: client_at,
                local: Some(asked.ip())
            }]
        );
        let transmit = Transmit {
            to: client_at,
            from: paths[0].local,
            bytes: Bytes::from_static(&[2; 64]),
        };
        assert_eq!(server.send(&transmit), Sent::Taken);
        let mut batch = server.batch();
        batch.push(&transmit);
        // The system would choose another one.
        batch.push(&Transmit {
            from: None,
            ..transmit
        });
        drop(batch);
        let from: Vec<SocketAddr> = receive(&client, 3)
            .await
            .iter()
            .map(|(from, _)| *from)
            .collect();
        assert_eq!(
            from,
            [asked, asked, SocketAddr::from(([127, 0, 0, 1], at.port()))]
        );
    }
}
