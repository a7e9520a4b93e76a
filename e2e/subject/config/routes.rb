Rails.application.routes.draw do
  get "up" => "rails/health#show"

  resources :entries, only: [ :index, :create ]
end
