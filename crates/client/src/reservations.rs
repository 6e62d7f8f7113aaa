//! Reserving paths of a repository.

use collective_api::Page;
use collective_api::messages::Reserve;
use collective_core::ReservationId;
use collective_core::reservation::Reservation;
use reqwest::Method;

use crate::{Client, ClientError};

impl Client {
    /// `POST /v1/reservations`.
    pub async fn reserve(&self, request: &Reserve) -> Result<Reservation, ClientError> {
        self.post(&["v1", "reservations"])
            .json(request)
            .answer()
            .await
    }

    /// `GET /v1/reservations`.
    pub async fn list_reservations(&self) -> Result<Page<Reservation>, ClientError> {
        self.get(&["v1", "reservations"]).answer().await
    }

    /// `DELETE /v1/reservations/{reservation}`.
    pub async fn release_reservation(&self, reservation: ReservationId) -> Result<(), ClientError> {
        self.call(
            Method::DELETE,
            &["v1", "reservations", &reservation.to_string()],
        )
        .done()
        .await
    }
}
